"""What kubectl could read otherwise than Guardian is refused with line and way out, quickly, and without a value."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from guardian.errors import UsageError
from guardian.reports.judged import Problem
from guardian.usecases import check_files
from guardian.usecases.check_files import Source, sources
from guardian.usecases.check_manifests import Manifest, manifests

if TYPE_CHECKING:
    from pathlib import Path

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
SECRET = "CANARY-hunter2"


def problems(text: str, name: str = "m.yaml") -> list[Problem]:
    return [one for one in manifests(Source(name, text)) if isinstance(one, Problem)]


REFUSED = {
    "duplicate key": (f"{POD}a: {SECRET}\na: 2\n", 5, "stands twice"),
    "duplicate key after conversion": (f"{POD}x:\n  yes: 1\n  'true': {SECRET}\n", 6, "stands twice"),
    "duplicate key in JSON": (f'{{"kind": "Pod",\n "a": "{SECRET}",\n "a": 1}}', 3, "stands twice"),
    "tab": (f"{POD}a:\n\t- {SECRET}\n", 5, "tab"),
    "open bracket": (f"{POD}a: [{SECRET}\n", 5, "not valid YAML"),
    "open quote": (f'{POD}a: "{SECRET}\n', 5, "not valid YAML"),
    "control character": (f"{POD}a: {SECRET}\x01\n", 4, "not valid YAML"),
    "tag": (f"{POD}a: !!binary {SECRET}\n", 4, "tags are refused"),
    "unknown tag": (f"{POD}a: !Ref {SECRET}\n", 4, "tags are refused"),
    "unknown alias": (f"{POD}a: *{SECRET}\n", 4, "alias"),
    "alias in itself": (f"{POD}a: &a [{SECRET}, *a]\n", 4, "contains itself"),
    "merge over earlier keys": (f"{POD}x: &x {{a: {SECRET}}}\ny:\n  a: 1\n  <<: *x\n", 7, "put it first"),
    "two merges": (f"{POD}x: &x {{a: 1}}\ny:\n  <<: *x\n  <<: *x\n", 7, "second merge"),
    "merge of text": (f"{POD}y:\n  <<: {SECRET}\n", 5, "merge key"),
    "mapping as key": (f"{POD}? {{a: {SECRET}}}\n: 1\n", 4, "key must be text"),
    "null as key": (f"{POD}~: {SECRET}\n", 4, "key must be text"),
    "decimal as key": (f"{POD}1.5: {SECRET}\n", 4, "key must be text"),
    "infinity": (f"{POD}a: .inf\n", 4, "infinity"),
    "not an object": (f"- {SECRET}\n", 1, "not a Kubernetes object"),
    "text": (f"{SECRET}\n", 1, "not a Kubernetes object"),
    "broken JSON": (f'{{"kind": "Pod",\n "a": "{SECRET}" "b"}}', 2, "not valid JSON"),
    "JSON that ends": (f'{{"kind": "Pod",\n "a": "{SECRET}"', 2, "ends too early"),
    "list under another kind": (f"{POD}items: [{SECRET}]\n", 1, "kind must end in List"),
    "directive": (f"%YAML 1.2\n---\n{POD}", 2, "not valid YAML"),
    "helm template": (f"{POD}a: {SECRET}\nspec:\n  x: {{{{ .Values.x }}}}\n", 6, "helm template"),
    "helm template in quotes": (f'{POD}image: "{SECRET}:{{{{ $.Chart.AppVersion }}}}"\n', 4, "helm template"),
    "some template": (f"{POD}{{{{- if true }}}}\na: {SECRET}\n", 5, "if this is a template"),
    "terraform plan": ('{"format_version": "1.2", "terraform_version": "1", "resource_changes": []}', 1, "Terraform"),
    "kustomization": ("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n", 1, "kustomize build"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_for_sure_is_refused_with_line_and_way_out(name: str) -> None:
    text, line, said = REFUSED[name]
    [problem, *others] = problems(text)
    assert (problem.line, others) == (line, [])
    assert said in problem.message
    assert SECRET not in problem.message


@pytest.mark.parametrize("name", ["Chart.yaml", "values.yaml", "kustomization.yaml", "deep/kustomization.yml"])
def test_files_for_other_programs_are_told_by_name(name: str) -> None:
    [problem] = problems("resources: [a.yaml]\n", name)
    assert "| guardian check -" in problem.message


def test_templates_of_other_programs_are_text() -> None:
    assert problems(f'{POD}data: {{a: "{{{{ $labels.pod }}}} {{{{ .CommonLabels.Values | join }}}}"}}\n') == []


def test_broken_document_costs_its_neighbours_nothing() -> None:
    found = list(manifests(Source("m.yaml", f"{POD}---\na: [\n---\n{POD.replace('a}', 'b}')}")))
    assert [type(one) for one in found] == [Manifest, Problem, Manifest]


def test_what_follows_a_separator_on_its_line_is_read_too() -> None:
    found = list(manifests(Source("m.yaml", f"{POD}--- {{apiVersion: v1, kind: Pod, metadata: {{name: b}}}}\n")))
    assert [one.value["metadata"]["name"] for one in found if isinstance(one, Manifest)] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(POD + "a: " + "[" * 10_000, "levels deep", id="flow"),
        pytest.param("".join(" " * level + "a:\n" for level in range(1000)), "levels deep", id="block"),
        pytest.param("- " * 10_000, "levels deep", id="one line"),
        pytest.param("? " * 10_000, "levels deep", id="keys"),
        pytest.param('{"a":' * 10_000, "levels deep", id="json objects"),
        pytest.param("{" + '"a":[' + "[" * 10_000, "levels deep", id="json lists"),
        pytest.param(
            "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 500)), "levels deep", id="aliases"
        ),
        pytest.param(
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 20)),
            "aliases written out",
            id="alias bomb",
        ),
        pytest.param(
            "s: &s " + "x" * 1_000_000 + "\nl: [" + "*s, " * 1000 + "]", "aliases written out", id="long text"
        ),
        pytest.param("a: [" + "x," * 3_000_000 + "]", "aliases written out", id="long list"),
        pytest.param('{"a": [' + "1," * 3_000_000 + "1]}", "aliases written out", id="long JSON list"),
    ],
)
@pytest.mark.timeout(60)
def test_hostile_text_is_refused_before_it_costs_much(text: str, said: str) -> None:
    [problem] = problems(text)
    assert said in problem.message
    assert len(problem.message) < 300


@pytest.mark.parametrize("quote", ["", "'", '"'])
@pytest.mark.timeout(60)
def test_line_of_ten_megabytes_is_read(quote: str) -> None:
    [manifest] = manifests(Source("m.yaml", f"{POD}a: {quote}{'x' * 10_000_000}{quote}\n"))
    assert isinstance(manifest, Manifest)
    assert len(manifest.value["a"]) == 10_000_000


def test_deepest_and_largest_that_is_read_can_be_walked() -> None:
    [manifest] = manifests(Source("m.yaml", f"{POD}a: {'[' * 120}{']' * 120}\n"))
    assert isinstance(manifest, Manifest)


def names(paths: list[str], stdin: bytes = b"") -> list[tuple[str, str]]:
    return [
        (one.file, one.message) if isinstance(one, Problem) else (one.name, "")
        for one in sources(paths, io.BytesIO(stdin))
    ]


def test_folder_gives_its_manifests_in_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b/z.yml", "b/a.JSON", "a.yaml", ".git/x.yaml", "b/.y.yaml", "README.md", "c.yaml.bak"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [name.removeprefix(f"{tmp_path}/") for name, _ in names([str(tmp_path)])] == [
        "a.yaml",
        "b/a.JSON",
        "b/z.yml",
    ]


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.yaml").write_text("")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert len(names([str(tmp_path)])) == 1


def test_pipe_in_a_folder_is_reported_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.yaml")
    [(name, said)] = names([str(tmp_path)])
    assert name.endswith("x.yaml")
    assert "not a regular file" in said


def test_dangling_link_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").symlink_to(tmp_path / "gone")
    [(_, said)] = names([str(tmp_path)])
    assert "cannot be read" in said


def test_text_that_is_not_utf_8_is_reported_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: 1\nb: \xe9\n")
    [problem] = sources([str(path)], io.BytesIO())
    assert isinstance(problem, Problem)
    assert (problem.line, "UTF-8" in problem.message) == (2, True)


def test_file_larger_than_the_limit_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    with path.open("wb") as file:
        file.truncate(check_files.MAX_BYTES + 1)
    [(_, said)] = names([str(path)])
    assert "larger than" in said


def test_standard_input_is_read_once_and_missing_paths_are_refused() -> None:
    assert names(["-"], b"a: 1") == [("stdin", "")]
    with pytest.raises(UsageError, match="once only"):
        names(["-", "-"])
    with pytest.raises(UsageError, match="/no/such"):
        names(["/no/such"])
