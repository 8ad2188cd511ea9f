"""`guardian webhook manifests` and `certificate`, as a person runs them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from tests.support import Ran, guardian

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = """\
environment: production
collectors: [{name: prod, type: kubernetes}]
webhook: {certificate: tls/tls.pem, key: "file:tls/tls.key", failClosed: [erp]}
storage: {database: "env:GUARDIAN_DATABASE", objects: .guardian/objects}
keys: {record: "file:keys/record.pem", log: "file:keys/log.pem", redaction: "file:keys/redaction.key"}
"""


IMAGE = f"registry.example/guardian@sha256:{'0' * 64}"
HOSTS = ("guardian.example", "192.0.2.7", "guardian-webhook.guardian.svc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "guardian.yaml").write_text(CONFIGURATION)
    hosts = [option for host in HOSTS for option in ("--host", host)]
    made = guardian("webhook", "certificate", "--dir", str(tmp_path / "tls"), *hosts)
    assert made.code == 0, made.stderr
    return tmp_path


def _manifests(folder: Path, *options: str) -> Ran:
    return guardian("webhook", "manifests", "--config", str(folder / "guardian.yaml"), *options)


def _objects(ran: Ran) -> list[dict[str, object]]:
    assert ran.code == 0, ran.stderr
    return list(YAML(typ="safe", pure=True).load_all(ran.stdout))


def test_by_url_one_object_is_printed_with_the_ca_that_certificate_made(folder: Path) -> None:
    (registered,) = _objects(
        _manifests(folder, "--url", "https://guardian.example/v1/admit", "--ca-file", str(folder / "tls" / "ca.pem"))
    )
    assert registered["kind"] == "ValidatingWebhookConfiguration"
    ca = base64.b64encode((folder / "tls" / "ca.pem").read_bytes()).decode()
    assert ca in str(registered)


def test_with_an_image_everything_is_printed_and_the_registration_comes_last(folder: Path) -> None:
    ran = _manifests(folder, "--image", IMAGE, "--ca-file", str(folder / "tls" / "ca.pem"))
    kinds = [found["kind"] for found in _objects(ran)]
    assert kinds[0] == "Namespace"
    assert kinds[-1] == "ValidatingWebhookConfiguration"
    assert "Deployment" in kinds
    assert ran.stdout.index("# Last, once the Deployment is available") > ran.stdout.index("kind: Deployment")
    assert ran.stdout.startswith("# First")
    assert "create secret" in ran.stdout
    assert "PRIVATE KEY" not in ran.stdout


@pytest.mark.parametrize(
    "options", [(), ("--image", "a", "--url", "https://a/v1/admit"), ("--url", "https://a/v1/admit", "--cert-manager")]
)
def test_options_that_contradict_each_other_are_usage_errors(folder: Path, options: tuple[str, ...]) -> None:
    ran = _manifests(folder, *options)
    assert ran.code == 2
    assert "--image" in ran.stderr


def test_a_second_certificate_needs_force_and_keeps_the_authority(folder: Path) -> None:
    options = ("webhook", "certificate", "--dir", str(folder / "tls"), "--host", "guardian.example")
    authority = (folder / "tls" / "ca.pem").read_bytes()
    assert guardian(*options).code == 2
    again = guardian(*options, "--force")
    assert (again.code, "kept" in again.stdout) == (0, True)
    assert (folder / "tls" / "ca.pem").read_bytes() == authority


@pytest.mark.parametrize("url", ["https://other.example:8443", "https://192.0.2.8:8443"])
def test_url_that_the_certificate_does_not_cover_is_refused_with_the_way_out(folder: Path, url: str) -> None:
    host = url.split("/")[2].partition(":")[0]
    ran = _manifests(folder, "--url", url)
    assert (ran.code, ran.stdout) == (2, "")
    assert f"webhook as {host}," in ran.stderr
    assert "covers guardian.example, guardian-webhook.guardian.svc, 192.0.2.7:" in ran.stderr
    command = ran.stderr.partition("Make one that does: ")[2].split()
    assert guardian(*command[1:]).code == 0  # it does as it is printed
    assert _manifests(folder, "--url", url).code == 0


def test_certificate_must_cover_the_service_unless_cert_manager_makes_it(folder: Path) -> None:
    options = ("--image", IMAGE, "--namespace", "compliance")
    refused = _manifests(folder, *options, "--ca-file", str(folder / "tls" / "ca.pem"))
    assert refused.code == 2
    assert "webhook as guardian-webhook.compliance.svc," in refused.stderr
    assert _manifests(folder, *options, "--cert-manager").code == 0


def test_remarks_on_what_could_be_safer_go_to_stderr_and_only_where_they_are_due(folder: Path) -> None:
    ca = ("--ca-file", str(folder / "tls" / "ca.pem"))
    loose = _manifests(folder, "--image", "registry.example/guardian:1", *ca)
    assert len(_objects(loose)) > 1
    assert "registry.example/guardian:1 is not named by digest" in loose.stderr
    assert "workload.image-digest refuses" in loose.stderr
    assert "webhook.clientCA is not set" in loose.stderr
    path = folder / "guardian.yaml"
    path.write_text(CONFIGURATION.replace("failClosed", "clientCA: tls/ca.pem, failClosed"))
    strict = _manifests(folder, "--image", IMAGE, *ca)
    assert (strict.code, strict.stderr) == (0, "")


def test_help_shows_the_lines_that_an_error_sends_people_to_it_for(tmp_path: Path) -> None:
    (tmp_path / "guardian.yaml").write_text("environment: production\n")
    ran = guardian("webhook", "--config", str(tmp_path / "guardian.yaml"))
    assert (ran.code, "see `guardian webhook --help`" in ran.stderr) == (2, True)
    lines = [line.strip() for line in guardian("webhook", "--help").stdout.splitlines()]
    wanted = [line for line in lines if line.startswith(("collectors:", "webhook:"))]
    assert len(wanted) == 2
    (tmp_path / "guardian.yaml").write_text("\n".join(["environment: production", *wanted, ""]))
    assert guardian("webhook", "manifests", "--url", "https://h", cwd=tmp_path).code == 0
