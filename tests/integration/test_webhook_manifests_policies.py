"""The users' own policies on their way into the webhook's Pods, and what replaces the Pods."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from guardian import config
from guardian.errors import ConfigError
from guardian.policy import users
from guardian.settings import EngineSettings
from guardian.usecases import webhook_install

if TYPE_CHECKING:
    from guardian.settings import Settings

CONFIGURATION = """\
environment: production
collectors: [{name: prod, type: kubernetes}]
webhook: {certificate: tls/tls.pem, key: "file:tls/tls.key"}
storage: {database: "env:GUARDIAN_DATABASE"}
policies: {folder: own policies}
"""
OWN = """\
# METADATA
# scope: package
# title: Deployments are named by the plan
# description: The name of a Deployment begins with the prefix of our plan.
# related_resources:
#   - ref: https://intranet.example/naming
# custom:
#   id: naming.prefix
#   scope: resource
#   severity: low
#   remediation: Rename it.
#   inputs: [k8s.apps.Deployment]
#   frameworks:
#     iso-27001-2022: [A.8.9]
#   stages: [audit, admission]
#   uses: []
package guardian.naming.prefix

findings := set()
"""
OWN_PARAMS = """\
naming.prefix:
  mode: {production: audit, staging: audit, development: audit, other: audit}
  params: {}
"""


@pytest.fixture
def settings(tmp_path: Path, opa: Path) -> Settings:
    control = tmp_path / "own policies" / "naming" / "prefix.rego"
    control.parent.mkdir(parents=True)
    control.write_text(OWN)
    control.with_name("prefix_test.rego").write_text("package guardian.naming.prefix_test\n")
    (tmp_path / "own policies" / "params.yaml").write_text(OWN_PARAMS)
    (tmp_path / "own policies" / "README.md").write_text("none of Guardian's business")
    (tmp_path / "guardian.yaml").write_text(CONFIGURATION)
    return replace(config.load(tmp_path / "guardian.yaml"), engine=EngineSettings(command=opa))


def printed(settings: Settings) -> tuple[dict[str, Any], list[str]]:
    """Return the Pods' template, and the commands."""
    objects, commands = webhook_install.here(
        settings, image="registry.example/guardian", namespace="guardian", ca_file=None, cert_manager=True
    )
    (deployment,) = [found for found in objects if found["kind"] == "Deployment"]
    template: dict[str, Any] = deployment["spec"]["template"]
    return template, list(commands)


def test_own_policies_are_read_in_the_pod_as_they_are_here(settings: Settings, tmp_path: Path) -> None:
    assert settings.policies is not None
    template, commands = printed(settings)
    (command,) = [text for text in commands if " configmap guardian-policies " in text]
    options = [word.partition("=")[2] for word in shlex.split(command) if word.startswith("--from-file=")]
    config_map = {key: Path(path).read_bytes() for key, _, path in (option.partition("=") for option in options)}
    (volume,) = [found["configMap"] for found in template["spec"]["volumes"] if found["name"] == "guardian-policies"]
    assert volume["name"] == "guardian-policies"
    for item in volume["items"]:
        path = tmp_path / "mounted" / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(config_map.pop(item["key"]))
    assert config_map == {}
    assert users.read(tmp_path / "mounted") == users.read(settings.policies)


def test_pods_are_replaced_when_the_configuration_or_a_policy_changes_and_only_then(
    settings: Settings, tmp_path: Path
) -> None:
    def digest() -> str:
        found: str = printed(settings)[0]["metadata"]["annotations"]["admission.guardian/configuration"]
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", found)
        return found

    first = digest()
    (tmp_path / "own policies" / "README.md").write_text("changed")
    assert digest() == first
    (tmp_path / "guardian.yaml").write_text(CONFIGURATION + "# a remark\n")
    second = digest()
    (tmp_path / "own policies" / "naming" / "prefix.rego").write_text(OWN + "\n# a remark\n")
    assert len({first, second, digest()}) == 3


def test_folder_without_rego_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="empty has no Rego in it"):
        printed(replace(settings, policies=tmp_path / "empty"))
