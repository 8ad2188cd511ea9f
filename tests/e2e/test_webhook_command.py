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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "guardian.yaml").write_text(CONFIGURATION)
    made = guardian("webhook", "certificate", "--dir", str(tmp_path / "tls"), "--host", "guardian.example")
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
    image = f"registry.example/guardian@sha256:{'0' * 64}"
    ran = _manifests(folder, "--image", image, "--ca-file", str(folder / "tls" / "ca.pem"))
    kinds = [found["kind"] for found in _objects(ran)]
    assert kinds[0] == "Namespace"
    assert kinds[-1] == "ValidatingWebhookConfiguration"
    assert "Deployment" in kinds
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
