"""A drill of a backup in every output format of pg_dump: what it proves, and how it says what it could not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guardian.model import Assurance
from tests.formats_support import FORMS, Dumps, Formatted, against
from verifiers.result import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from verifiers.sandbox.isolation import Provider


@pytest.mark.parametrize("form", FORMS)
def test_backup_in_every_format_is_proved_exact(
    dumps: Dumps, sandbox_provider: Provider, tmp_path: Path, form: str
) -> None:
    backup = Formatted(dumps, form, tmp_path, sandbox_provider.name, age=str(dumps.key)).take()
    drill = backup.drill()
    assert against(drill) == {}
    assert (drill.result.verdict, drill.result.assurance) == (Verdict.PASS, Assurance.EXACT)
    assert ("decrypt" in [phase.name for phase in drill.result.phases]) == form.endswith("age")
