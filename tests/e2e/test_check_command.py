"""`guardian check` as a pipeline runs it: exit codes, places, every format, and no secret in any of them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft4Validator, Draft202012Validator

from tests.support import Ran, guardian

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = "CANARY-hunter2-Zq81x"
DIGEST = f"sha256:{'ab' * 32}"
RIGHT = f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: odoo
  namespace: erp
spec:
  replicas: 2
  selector: {{matchLabels: {{app: odoo}}}}
  template:
    metadata: {{labels: {{app: odoo}}}}
    spec:
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        seccompProfile: {{type: RuntimeDefault}}
      containers:
      - name: odoo
        image: registry.example/odoo:17.0@{DIGEST}
        env:
        - {{name: PGPASSWORD, value: {SECRET}}}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {{drop: [ALL]}}
        resources:
          requests: {{cpu: 500m, memory: 1Gi, ephemeral-storage: 1Gi}}
          limits: {{cpu: "1", memory: 1Gi, ephemeral-storage: 1Gi}}
"""
WRONG = RIGHT.replace(f"@{DIGEST}", "")
LINE = 18  # of the image
IMAGE = "spec.template.spec.containers[0].image"
ODOO = "k8s:cluster/apps/Deployment/erp/odoo"
BROKEN = f"apiVersion: v1\nkind: Pod\npassword: [{SECRET}\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
CONFIG_MAP = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{password: {SECRET}}}\n"


def check(*arguments: str, cwd: Path, stdin: str | None = None) -> Ran:
    """Run `guardian check` in `cwd`; no secret of the manifests may come out anywhere."""
    if stdin is None:
        ran = guardian("check", *arguments, cwd=cwd)
    else:
        command = [sys.executable, "-m", "guardian", "check", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=280, cwd=cwd, check=False)
        ran = Ran(done.returncode, done.stdout, done.stderr)
    assert SECRET not in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    return ran


def written(folder: Path, texts: Mapping[str, str]) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(files("guardian.schemas").joinpath(name).read_text(encoding="utf-8")))


def test_right_manifest_passes_without_any_configuration_and_says_by_which_standards(tmp_path: Path) -> None:
    ran = check("right.yaml", cwd=written(tmp_path, {"right.yaml": RIGHT}))
    assert ran.code == 0, ran.stdout
    assert "1 object judged: 1 passed, 0 failed" in ran.stdout
    assert "defaults of production for tier critical" in ran.stderr
    assert "guardian scan" in ran.stdout  # what needs the cluster's state is named, not passed over
    assert list(tmp_path.iterdir()) == [tmp_path / "right.yaml"]


def test_wrong_manifest_fails_at_the_line_of_its_field_with_the_way_out(tmp_path: Path) -> None:
    ran = check("a/wrong.yaml", cwd=written(tmp_path, {"a/wrong.yaml": WRONG}))
    assert ran.code == 1
    assert f"a/wrong.yaml:{LINE}  FAIL  workload.image-digest  {ODOO}  (deny)" in ran.stdout
    assert "how to fix: Name the image with its digest" in ran.stdout


def test_folder_with_broken_and_hostile_files_still_has_the_others_judged(tmp_path: Path) -> None:
    texts = {"a.yaml": BROKEN, "b/wrong.yaml": WRONG, "c.yaml": BOMB, "d.json": '{"a":' * 10_000, "e.yaml": CONFIG_MAP}
    ran = check(".", "--format", "json", cwd=written(tmp_path, texts))
    assert ran.code == 1  # a fail comes before what could not be checked
    document = json.loads(ran.stdout)
    assert [(one["file"], one["line"]) for one in document["problems"]] == [("a.yaml", 4), ("c.yaml", 6), ("d.json", 1)]
    assert document["counts"] == {
        "objects": 2, "judged": 1, "passed": 0, "failed": 1, "errors": 0, "notJudged": 1, "unreadable": 3
    }  # fmt: skip
    assert document["notJudged"]["kinds"] == {"k8s.core.ConfigMap": 1}
    schema("check.schema.json").validate(document)
    for one in document["findings"]:
        schema("finding.schema.json").validate(one["finding"])
    [failed] = [one for one in document["findings"] if one["finding"]["verdict"] == "fail"]
    assert failed["places"] == [{"file": "b/wrong.yaml", "line": LINE, "column": 9, "field": IMAGE}]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"right.yaml": RIGHT, "broken.yaml": BROKEN}, "broken.yaml:4  ERROR  could not be read"),
        ({"empty.yaml": "# nothing\n---\n"}, "no Kubernetes object"),
        ({"README.md": "text"}, "no Kubernetes object"),
        ({"right.yaml": RIGHT, "again.yaml": RIGHT}, "right.yaml:1  ERROR"),
        (
            {"t.yaml": "apiVersion: templates.gatekeeper.sh/v1\nkind: ConstraintTemplate\nmetadata: {name: a}\n"},
            "not judged yet",
        ),
    ],
    ids=["broken", "empty", "no manifest", "twice", "gatekeeper"],
)
def test_what_could_not_be_checked_exits_3(texts: Mapping[str, str], said: str, tmp_path: Path) -> None:
    ran = check(".", cwd=written(tmp_path, texts))
    assert ran.code == 3, ran.stdout
    assert said in ran.stdout


def test_object_that_stands_twice_names_both_places(tmp_path: Path) -> None:
    ran = check("a.yaml", cwd=written(tmp_path, {"a.yaml": f"{RIGHT}---\n{RIGHT}"}))
    assert ran.code == 3
    assert f"{ODOO} stands at a.yaml:1 already" in ran.stdout
    assert f"a.yaml:{RIGHT.count(chr(10)) + 2}  ERROR" in ran.stdout


def test_list_on_standard_input_is_judged_item_by_item_and_sarif_of_it_is_valid(tmp_path: Path) -> None:
    items = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {}} for name in ("a", "b")]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1)
    ran = check("-", "--namespace", "erp", "--collector", "prod-eu", "--format", "sarif", cwd=tmp_path, stdin=text)
    assert ran.code in {1, 3}  # a Pod without containers is nothing that passes
    document = json.loads(ran.stdout)
    standard = json.loads((Path(__file__).parents[1] / "data" / "sarif-schema-2.1.0.json").read_bytes())
    Draft4Validator(standard).validate(document)
    [run] = document["runs"]
    resources = {one["properties"]["resource"] for one in run["results"]}
    assert resources == {"k8s:prod-eu/core/Pod/erp/a", "k8s:prod-eu/core/Pod/erp/b"}
    assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "stdin"
    assert run["invocations"][0]["exitCode"] == ran.code


def test_junit_has_the_failure_with_its_place(tmp_path: Path) -> None:
    ran = check("-", "--format", "junit", cwd=tmp_path, stdin=WRONG)
    assert ran.code == 1
    root = ET.fromstring(ran.stdout)  # noqa: S314 -- made by the command under test
    [failure] = root.findall("testsuite[@name='workload.image-digest']/testcase/failure")
    assert str(failure.text).startswith(f"stdin:{LINE}  {IMAGE}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gone.yaml",), "gone.yaml"),
        (("right.yaml", "--fail-on", "off"), "--fail-on"),
        (("right.yaml", "--namespace", "a/b"), "--namespace"),
        (("right.yaml", "--collector", "a/b"), "--collector"),
        (("right.yaml", "--config", "gone.yaml"), "gone.yaml"),
        (("right.yaml", "--format", "xml"), "xml"),
    ],
)
def test_usage_errors_exit_2(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    ran = check(*arguments, cwd=written(tmp_path, {"right.yaml": RIGHT}))
    assert ran.code == 2
    assert said in ran.stderr


def test_configuration_gives_service_tier_and_mode_and_warnings_are_shown_but_not_counted(tmp_path: Path) -> None:
    texts = {
        "guardian.yaml": (
            "environment: production\n"
            "collectors: [{name: prod-eu, type: kubernetes, kubeconfig: kube.config}]\n"
            "services:\n- {name: erp, tier: low, match: [{collector: prod-eu, namespace: erp}]}\n"
            "controls: {workload.pod-security: {mode: off}}\n"
        ),
        "kube.config": "",
        "m/wrong.yaml": WRONG,
    }
    folder = written(tmp_path, texts)
    ran = check("m", cwd=folder)
    assert ran.code == 0, ran.stdout + ran.stderr
    assert "k8s:prod-eu/apps/Deployment/erp/odoo  (warn: not counted)" in ran.stdout
    assert "not judged here (mode is off): workload.pod-security" in ran.stdout
    assert "redaction key cannot be read" in ran.stderr
    counted = check("m", "--fail-on", "warn", "--format", "json", cwd=folder)
    assert counted.code == 1
    [subject] = json.loads(counted.stdout)["objects"]
    assert (subject["service"], subject["tier"], subject["verdict"]) == ("erp", "low", "fail")
    assert check("m", "--collector", "prod-us", cwd=folder).code == 2


def test_nothing_is_recorded(tmp_path: Path) -> None:
    assert guardian("init", "--dir", str(tmp_path)).code == 0
    before = guardian("evidence", "list", "--config", str(tmp_path / "guardian.yaml")).stdout
    assert check("wrong.yaml", cwd=written(tmp_path, {"wrong.yaml": WRONG})).code == 1
    assert guardian("evidence", "list", "--config", str(tmp_path / "guardian.yaml")).stdout == before


def test_scan_speaks_sarif_and_junit_and_other_commands_refuse_them(tmp_path: Path) -> None:
    assert guardian("init", "--dir", str(tmp_path)).code == 0
    config = str(tmp_path / "guardian.yaml")
    standard = json.loads((Path(__file__).parents[1] / "data" / "sarif-schema-2.1.0.json").read_bytes())
    sarif = guardian("scan", "--config", config, "--format", "sarif")
    Draft4Validator(standard).validate(json.loads(sarif.stdout))
    junit = guardian("scan", "--config", config, "--format", "junit")
    assert (sarif.code, junit.code) == (0, 0)
    assert ET.fromstring(junit.stdout).tag == "testsuites"  # noqa: S314 -- made by the command under test
    assert guardian("policy", "list", "--format", "sarif").code == 2
