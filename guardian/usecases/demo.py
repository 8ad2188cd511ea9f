"""The whole loop on embedded defaults: a live server, real backups (three damaged), drills, judgement, evidence.

Invariant: the demo succeeds only if every planted outcome occurred and nothing else failed. What is planted is data
(`demo_plants`), so a test can put a good backup in a bad one's place and see the demo fail.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardian import config
from guardian.errors import FailedError, UsageError
from guardian.model import Verdict
from guardian.usecases import demo_estate as estate
from guardian.usecases.demo_outcomes import Outcome, judge
from guardian.usecases.demo_plants import PLANTS, Plant
from guardian.usecases.demo_writer import Writer
from guardian.usecases.drill import DrillOutcome, drill_assets
from guardian.usecases.export import export
from guardian.usecases.init import init_keys
from guardian.usecases.ledger import Ledger
from guardian.usecases.manifest import manifest
from guardian.usecases.report import render_report
from guardian.usecases.scan import Scan, scan
from guardian.usecases.verify import verify_live, verify_pack_file
from verifiers.errors import VerifierError
from verifiers.sandbox import isolation
from verifiers.sandbox.options import ServerOptions
from verifiers.sandbox.programs import find_programs
from verifiers.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guardian.settings import Settings

MARKER = ".guardian-demo"
_MARKER_TEXT = "Made by `guardian demo`, which replaces this folder when it runs again.\n"


@dataclass(frozen=True, slots=True)
class Demo:
    """What came out. outcomes: every planted fact and whether it occurred, then whatever else failed."""

    folder: Path
    outcomes: Sequence[Outcome]
    drills: Sequence[DrillOutcome]
    scan: Scan
    records: int
    transactions: int
    isolation: str

    @property
    def occurred(self) -> bool:
        """Whether every planted outcome occurred and nothing else failed."""
        return all(outcome.occurred for outcome in self.outcomes)

    def to_json(self) -> dict[str, Any]:
        """Return the outcomes as JSON."""
        return {
            "schema": "guardian/demo/v1",
            "folder": str(self.folder),
            "occurred": self.occurred,
            "isolation": self.isolation,
            "records": self.records,
            "transactions": self.transactions,
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }


def demo(folder: Path, *, plants: Sequence[Plant] = PLANTS, progress: Callable[[str], None]) -> Demo:
    """Run the whole loop in `folder`, made anew. Raises UsageError if it holds anything but an earlier demo."""
    folder = prepare(folder)
    provider = choose_isolation()
    programs = find_programs(18, prefer_embedded=True)
    (folder / "guardian.yaml").write_text(_configuration(plants, provider), encoding="utf-8")
    settings = config.load(folder / "guardian.yaml")
    progress("making keys and the evidence log")
    init_keys(settings)
    # A short name: a socket's path is limited to 107 bytes, and backup commands get it as PGHOST.
    with tempfile.TemporaryDirectory(prefix="guardian-demo-") as scratch:
        progress(f"starting the live server: PostgreSQL {programs.version}, {provider.name}")
        options = ServerOptions(durable=True, settings=estate.SERVER_SETTINGS)
        with SandboxServer(Path(scratch), programs, provider, options) as server:
            progress("loading the Odoo-shaped estate")
            estate.build(server.conninfo(), [plant.database for plant in plants], folder / "source")
            _write_secret(folder / "keys" / "erp.dsn", server.url())
            transactions = _back_up(settings, plants, folder, server, progress)
            estate.plant_old_admin(server.conninfo())
            drills = _drill(settings, plants, progress)
            progress("collecting and judging the live server")
            scanned = scan(settings, snapshot_file=None, progress=lambda _step: None)
    progress("verifying the log and writing the pack")
    records = _verify(settings, folder)
    return Demo(
        folder, judge(plants, drills, scanned.evaluation), drills, scanned, records, transactions, provider.name
    )


def prepare(folder: Path) -> Path:
    """Make `folder` empty and marked, and return its absolute path.

    An earlier demo, known by its marker, is replaced. Raises UsageError for any other folder that is not empty.
    """
    absolute = folder.absolute()
    if absolute.is_symlink() or (absolute.exists() and not absolute.is_dir()):
        raise UsageError(f"{folder} is not a folder; choose another with --dir")
    if absolute.exists() and any(absolute.iterdir()):
        if not (absolute / MARKER).is_file():
            raise UsageError(
                f"{folder} is not empty and was not made by `guardian demo`; it is left as it is. Choose another "
                "folder with --dir"
            )
        # The marker goes last, so that a replacement cut short can be replaced again.
        for entry in sorted(absolute.iterdir(), key=lambda entry: entry.name == MARKER):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    try:
        absolute.mkdir(parents=True, exist_ok=True)
        (absolute / MARKER).write_text(_MARKER_TEXT, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}; choose another folder with --dir") from error
    return absolute


def choose_isolation() -> isolation.Provider:
    """Return bubblewrap where it runs here, else `none`, which the demo accepts for the backups it made itself."""
    try:
        provider = isolation.provider("bwrap")
        broken = [attempt for attempt in isolation.prove(provider) if attempt.verdict is not Verdict.PASS]
    except VerifierError:
        broken = []
        provider = isolation.provider("none")
    return isolation.provider("none") if broken else provider


def _back_up(
    settings: Settings, plants: Sequence[Plant], folder: Path, server: SandboxServer, progress: Callable[[str], None]
) -> int:
    """Take each asset's backup with its manifest while a writer keeps writing; return the writer's transactions."""
    pg_dump = server.programs.program("pg_dump")
    transactions = 0
    for plant in plants:
        progress(f"{plant.asset}: backup with manifest, while a writer keeps writing")
        source = folder / "source" / plant.database
        command = [sys.executable, "-m", "guardian.usecases.demo_backup", "--pg-dump", str(pg_dump)]
        command += ["--filestore", str(source), "--quiet", *plant.options]
        with Writer(server.conninfo(plant.database), source) as writer:
            captured = manifest(settings, plant.asset, command, job_name=None, progress=lambda _step: None)
        transactions += writer.transactions
        if plant.after is not None and captured.backup_id is not None:
            plant.after(folder / "backups" / plant.asset / captured.backup_id)
    return transactions


def _drill(settings: Settings, plants: Sequence[Plant], progress: Callable[[str], None]) -> list[DrillOutcome]:
    shown = ""

    def step(asset: str, phase: str, _done: int | None, _total: int | None) -> None:
        nonlocal shown
        if shown != (shown := f"{asset}: {phase}"):
            progress(shown)

    return drill_assets(settings, [plant.asset for plant in plants], backup_id=None, progress=step)


def _verify(settings: Settings, folder: Path) -> int:
    """Verify the log, write pack and report, verify the pack as a stranger would; return the number of records."""
    live = verify_live(settings)
    export(settings, folder / "pack.zip", replace=False, progress=lambda _done, _total: None)
    with Ledger(settings, writable=False) as ledger:
        report_html = render_report(settings, ledger, ledger.records())
    (folder / "report.html").write_text(report_html, encoding="utf-8")
    packed = verify_pack_file(folder / "pack.zip", folder / "root.json")
    for name, report in (("the log", live), ("the pack", packed)):
        if report.problems:
            member, message = report.problems[0]
            raise FailedError(f"{name} of the demo does not verify: {member}: {message}")
    return live.records


def _write_secret(path: Path, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(value + "\n")


def _configuration(plants: Sequence[Plant], provider: isolation.Provider) -> str:
    assets = "".join(
        f"""\
  - name: {plant.asset}
    type: odoo
    source: {{postgres: erp-db, database: {plant.database}, filestore: source/{plant.database}}}
    backups: [{{name: nightly, format: pg_dump, path: backups/{plant.asset}, every: 24h}}]
"""
        for plant in plants
    )
    schedules = "".join(
        f'- {{job: drill, asset: {plant.asset}, cron: "0 3 * * *", timeZone: UTC, grace: 1h}}\n' for plant in plants
    )
    accepted = ", ".join(plant.asset for plant in plants) if provider.name == "none" else ""
    return f"""\
# The demo's environment. Try: guardian drill erp-good --config demo/guardian.yaml
environment: production

services:
- name: erp-plant1
  owner: ops
  escalation: oncall
  tier: critical
  tenancy: dedicated
  dataClass: confidential
  rto: 4h
  rpo: 24h
  recovery: {{detect: 5m, decide: 10m, redirect: 5m}}
  dependsOn: []
  match: [{{collector: erp-db}}]
  assets:
{assets}
# What `guardian run` would do here: drill every asset each night.
schedules:
{schedules}
collectors:
# The live server runs only while the demo does; afterwards its controls say `error`: they cannot be checked.
- {{name: erp-db, type: postgres, dsn: "file:keys/erp.dsn"}}

sandbox: {{provider: {provider.name}, acceptNone: [{accepted}], diskQuota: 5GiB}}
storage: {{database: .guardian/guardian.db, objects: .guardian/objects}}
keys: {{record: "file:keys/record.pem", log: "file:keys/log.pem", redaction: "file:keys/redaction.key"}}
"""
