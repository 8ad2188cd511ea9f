"""A finding of a check points at the line of the field it names, however the manifest is written."""

from __future__ import annotations

import pytest

from guardian.reports.judged import Problem
from guardian.usecases.check_files import Source
from guardian.usecases.check_manifests import Manifest, manifests
from guardian.usecases.check_nodes import locate

IMAGE = "spec.template.spec.containers[0].image"


def read(text: str) -> list[Manifest]:
    found = list(manifests(Source("m.yaml", text)))
    assert not [one for one in found if isinstance(one, Problem)]
    return [one for one in found if isinstance(one, Manifest)]


def place(text: str, field: str) -> tuple[int, int]:
    [manifest] = read(text)
    return locate(manifest.node, field)


BLOCK = """\
# a comment
apiVersion: apps/v1
kind: Deployment
metadata:
  name: odoo
  annotations:
    a.example/b: "1"
    a.example: "2"
spec:
  template:
    spec:
      containers:
      - name: odoo

        image: odoo:17
      - image: nginx
        name: web
"""


@pytest.mark.parametrize(
    ("field", "line", "column"),
    [
        (IMAGE, 15, 9),
        ("spec.template.spec.containers[1].image", 16, 9),
        ("spec.template.spec.containers[1]", 16, 9),
        ("metadata.annotations.a.example/b", 7, 5),
        ("metadata.annotations.a.example", 8, 5),
        ('metadata.annotations["a.example/b"]', 7, 5),
        ("metadata.annotations['a.example']", 8, 5),
        ("spec.template.spec.securityContext.runAsNonRoot", 11, 5),
        ("spec.template.spec.containers[0].resources.limits.cpu", 13, 9),
        ("spec.template.spec.containers[7].image", 12, 7),
        ("spec.template.spec.initContainers[0].image", 11, 5),
        ("nonsense[", 2, 1),
        ("", 2, 1),
    ],
)
def test_field_in_block_style_is_found_and_a_missing_one_at_its_nearest_parent(
    field: str, line: int, column: int
) -> None:
    assert place(BLOCK, field) == (line, column)


def test_field_in_flow_style_is_found_with_its_column() -> None:
    text = "{apiVersion: v1, kind: Pod, metadata: {name: a},\n spec: {containers: [{name: x}, {image: nginx}]}}\n"
    assert place(text, "spec.containers[1].image") == (2, 34)
    assert place(text, "spec.containers[0].image") == (2, 22)


def test_field_in_json_is_found_also_in_the_second_object_of_a_stream() -> None:
    text = (
        '\n{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}\n'
        '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"},\n'
        '  "spec": {"containers": [\n    {"name": "x",\n     "image": "nginx"}]}}\n'
    )
    first, second = read(text)
    assert (first.node.line, second.node.line) == (2, 3)
    assert locate(second.node, "spec.containers[0].image") == (6, 6)


def test_aliased_field_is_found_where_it_is_used_and_merged_field_where_it_is_written() -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n"
        "  - &base\n    name: x\n    image: &image nginx\n  - {<<: *base, name: w}\n  - name: z\n    image: *image\n"
    )
    assert place(text, "spec.containers[1].image") == (8, 5)
    assert place(text, "spec.containers[2].image") == (11, 5)
    assert read(text)[0].value["spec"]["containers"] == [
        {"name": "x", "image": "nginx"},
        {"name": "w", "image": "nginx"},
        {"name": "z", "image": "nginx"},
    ]


def test_documents_keep_the_lines_of_their_file() -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\n"
    text = f"# helm\n---\n# Source: a\n{pod.replace('NAME', 'a')}---  # next\n\n{pod.replace('NAME', 'b')}---\n---\n"
    assert [(one.value["metadata"]["name"], one.node.line) for one in read(text)] == [("a", 4), ("b", 9)]


def test_lines_that_end_as_on_windows_are_counted_alike() -> None:
    pod = "apiVersion: v1\r\nkind: Pod\r\nmetadata:\r\n  name: a\r\n"
    assert [one.node.line for one in read(f"{pod}---\r\n{pod}")] == [1, 6]


def test_items_of_lists_are_objects_with_lines_of_their_own() -> None:
    text = (
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n"
        "- kind: PodList\n  apiVersion: v1\n  items:\n  - metadata: {name: b}\n"
    )
    first, second = read(text)
    assert (first.node.line, second.node.line) == (4, 10)
    assert second.value == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"}}


def test_alias_that_is_used_fifty_thousand_times_costs_no_time_to_locate() -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nx: &x [1, 2, 3]\nz: [" + "*x, " * 50_000 + "*x]\n"
    assert place(text, "z[49999][2]") == (4, 14)
