from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guardian import config
from guardian.usecases.init import TEMPLATE

if TYPE_CHECKING:
    from pathlib import Path

_EXAMPLE = re.compile(r"# (?=- |  |engine: \{type: opa, url|policies:|webhook:|schedules:|daemon:|api:)")
_DEFAULT = "engine: {type: wasm}"


def test_examples_in_the_template_are_a_valid_configuration(tmp_path: Path) -> None:
    lines = [_EXAMPLE.sub("", line, count=1) for line in TEMPLATE.format(environment="production").splitlines()]
    text = "\n".join(line.removesuffix(" []") for line in lines if line != _DEFAULT)
    path = tmp_path / "guardian.yaml"
    path.write_text(text, encoding="utf-8")
    settings = config.load(path)
    assert [service.name for service in settings.services] == ["erp-plant1"]
    assert [item.name for item in settings.collectors] == ["erp-db", "prod-eu", "aws-prod"]
    assert (settings.engine.type, settings.policies) == ("opa", tmp_path / "rego")
    assert settings.webhook is not None
    assert settings.webhook.fail_closed == ("erp",)
    assert [schedule.job for schedule in settings.schedules] == ["scan", "drill"]
    assert settings.api is not None


def test_template_as_it_is_written_is_a_valid_configuration(tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text(TEMPLATE.format(environment="production"), encoding="utf-8")
    assert config.load(path).collectors == ()
