"""A mirror that is a copy of another: held against its original also where it is verified in place."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from guardian.drills.catalogue import choose
from guardian.drills.run import run_drill
from guardian.model import Assurance, Drill
from guardian.settings import SandboxSettings
from tests.drill_support import KEY, RUN_1
from tests.files_support import Folder
from verifiers.result import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from guardian.model import Service


def drill_of_copy(kept: Folder, service: Service) -> Drill:
    """Drill a second mirror, declared as a copy of the first."""
    original = kept.asset.backups[0]
    away = replace(original.place, path=str(kept.folder / "away"))
    copy = replace(original, name="away", place=away, copy_of=original.name)
    asset = replace(kept.asset, backups=(original, copy))
    _, item, plan = choose(replace(asset, backups=(copy,)))
    return run_drill(
        run_id=RUN_1,
        asset=asset,
        service=service,
        job=copy,
        backup=item,
        required=Assurance.RESTORED,
        manifest=None,
        key=KEY,
        settings=SandboxSettings("none", (), 5 << 30, kept.folder / "sandbox", False),
        progress=lambda *_: None,
        plan=plan,
    )


def test_copy_verified_in_place_that_differs_from_its_original_fails(tmp_path: Path) -> None:
    kept = Folder(tmp_path).fill()
    shutil.copytree(kept.mirror(), tmp_path / "away")
    service = kept.drill(Assurance.RESTORED).service

    same = drill_of_copy(kept, service)
    victim = next(path for path in (tmp_path / "away").rglob("*") if path.is_file())
    victim.write_bytes(b"other")
    differs = drill_of_copy(kept, service)

    [digest] = [check for check in same.result.checks if check.id == "backup.digest"]
    assert digest.verdict is Verdict.PASS
    [digest] = [check for check in differs.result.checks if check.id == "backup.digest"]
    assert digest.verdict is Verdict.FAIL
    assert differs.result.verdict is Verdict.FAIL
