"""Judge a recorded input again, and compare what comes out with what was recorded, byte for byte.

Invariant: the input, the standards and the moment are those of the record; only the policies may be others, and then
that is said. A record whose input was not kept is not replayed, and never called the same.
I/O: reads the evidence log.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from guardian.errors import UsageError
from guardian.model import Mode, Tier
from guardian.policy import bundle as bundles
from guardian.policy import users
from guardian.policy.engines import open_engine
from guardian.policy.evaluate import evaluate
from guardian.policy.judge import Judge
from guardian.policy.metadata import Catalogue, Resolved
from guardian.policy.standards import Standards
from guardian.usecases.admission_answer import Circumstances, answer
from guardian.usecases.collect import read_resource, read_snapshot
from guardian.usecases.ledger import Ledger
from guardian.usecases.review import CASE_SCHEMA, STAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evidence.verify import VerifiedRecord
    from guardian.model import Finding
    from guardian.policy.bundle import Bundle
    from guardian.policy.engine import Engine
    from guardian.settings import Settings

KINDS: Final = ("policy-evaluation", "admission-decision")
CURRENT: Final = "current"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One record judged again.

    same: the findings, and at admission the answer, are equal, byte for byte. changed: one entry a difference,
    `{control, resource, recorded, replayed}` with what only one of them has as None. findings: how many there are now.
    why_not: why it could not be replayed, empty if it was.
    """

    index: int
    record_id: str
    kind: str
    recorded_bundle: str
    bundle: str
    same: bool
    changed: Sequence[dict[str, Any]]
    findings: int
    why_not: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "index": self.index,
            "recordId": self.record_id,
            "kind": self.kind,
            "recordedBundle": self.recorded_bundle,
            "bundle": self.bundle,
            "same": self.same,
            "findings": self.findings,
            "changed": list(self.changed),
            "whyNot": self.why_not or None,
        }


def replay(settings: Settings, wanted: Sequence[str], *, bundle: str | None = None) -> list[Replayed]:
    """Judge the records `wanted` (indexes or ids; empty: all that can be) again.

    bundle: None demands the very policies of the record; `current` takes those that Guardian would use now, another
    text is a folder of compiled policies. Then standards are today's too, for other controls have other parameters.
    Raises UsageError for a record that is not there or is of another kind.
    """
    loaded = _bundle(settings, bundle)
    with Ledger(settings, writable=False) as ledger:
        chosen = _chosen(ledger.records(), wanted)
        engine = open_engine(settings.engine, loaded)
        try:
            replayer = _Replayer(settings, ledger, loaded, engine, as_recorded=bundle is None)
            return [replayer.replay(record) for record in chosen]
        finally:
            engine.close()


def _bundle(settings: Settings, wanted: str | None) -> Bundle:
    if wanted in (None, CURRENT):
        return users.load(settings)
    folder = Path(str(wanted))
    try:
        return bundles.parse((folder / bundles.MANIFEST_NAME).read_bytes(), (folder / bundles.WASM_NAME).read_bytes())
    except OSError as error:
        raise UsageError(
            f"{folder} holds no compiled policies ({error.strerror}: {error.filename}); name a folder with "
            f"{bundles.MANIFEST_NAME} and {bundles.WASM_NAME}, or `{CURRENT}`"
        ) from error


def _chosen(records: Sequence[VerifiedRecord], wanted: Sequence[str]) -> list[VerifiedRecord]:
    if not wanted:
        return [record for record in records if record.kind in KINDS and "policy" in record.predicate]
    by_name = {name: record for record in records for name in (str(record.index), record.record_id)}
    for name in wanted:
        if name not in by_name:
            raise UsageError(f"no record {name!r}; see `guardian evidence list`")
        if by_name[name].kind not in KINDS:
            raise UsageError(f"record {name} is a {by_name[name].kind}; only {' and '.join(KINDS)} can be replayed")
        if "policy" not in by_name[name].predicate:
            raise UsageError(
                f"record {name} is of a run that ended before it judged anything; there is nothing to replay"
            )
    return [by_name[name] for name in wanted]


class _CannotReplayError(Exception):
    pass


class _Replayer:
    def __init__(
        self, settings: Settings, ledger: Ledger, bundle: Bundle, engine: Engine, *, as_recorded: bool
    ) -> None:
        self._settings, self._ledger, self._bundle, self._engine = settings, ledger, bundle, engine
        self._as_recorded = as_recorded
        self._today = Standards.of(bundle.catalogue, settings)

    def replay(self, record: VerifiedRecord) -> Replayed:
        recorded, found, why_not = b"[]", b"[]", ""
        self._answered: Mapping[str, Any] = {}
        try:
            self._refuse_other_policies(record)
            judge = self._evaluation if record.kind == "policy-evaluation" else self._decision
            recorded, findings = judge(record)
            found = _bytes([finding.to_json() for finding in findings])
        except _CannotReplayError as error:
            why_not = str(error)
        answers = [
            {
                "control": "(answer)",
                "resource": name,
                "recorded": _said(record.predicate[name]),
                "replayed": _said(value),
            }
            for name, value in self._answered.items()
            if record.predicate[name] != value
        ]
        return Replayed(
            index=record.index,
            record_id=record.record_id,
            kind=record.kind,
            recorded_bundle=record.predicate["policy"]["bundleDigest"],
            bundle=self._bundle.digest,
            same=not why_not and recorded == found and not answers,
            changed=[*_changes(orjson.loads(recorded), orjson.loads(found)), *answers],
            findings=len(orjson.loads(found)),
            why_not=why_not,
        )

    def _refuse_other_policies(self, record: VerifiedRecord) -> None:
        recorded, loaded = record.predicate["policy"]["bundleDigest"], self._bundle.digest
        if self._as_recorded and recorded != loaded:
            version = record.predicate["producer"]["version"]
            raise _CannotReplayError(
                f"it was judged by the policies {recorded[:16]} of Guardian {version}, and those loaded now are "
                f"{loaded[:16]}: run that version, or ask what others say with --bundle {CURRENT}"
            )

    def _evaluation(self, record: VerifiedRecord) -> tuple[bytes, Sequence[Finding]]:
        [snapshot_input] = [entry for entry in record.predicate["inputs"] if entry["name"] == "snapshot"]
        snapshot = read_snapshot(self._attachment(record, "snapshot.jsonl"), digest=snapshot_input["sha256"])
        recorded = self._attachment(record, "findings.json")
        standards = self._today
        if self._as_recorded:
            standards = Standards.from_json(self._attachment(record, "standards.json"))
        evaluation = evaluate(snapshot, engine=self._engine, catalogue=self._bundle.catalogue, standards=standards)
        return recorded, evaluation.findings

    def _decision(self, record: VerifiedRecord) -> tuple[bytes, Sequence[Finding]]:
        case = orjson.loads(self._attachment(record, "review.json"))
        if case["schema"] != CASE_SCHEMA:
            raise _CannotReplayError(f"its review is of the format {case['schema']!r}, expected {CASE_SCHEMA}")
        if case["resource"] is None and case["here"]["unchecked"]:
            raise _CannotReplayError("the object was not judged then, and was not kept")
        here, kind = Circumstances(**case["here"]), case["request"]["kind"]
        catalogue, standards = self._bundle.catalogue, self._today
        if self._as_recorded:
            judging = {control.id for control in catalogue.of_resources(kind, STAGE)}
            if judging != case["controls"].keys():
                raise _CannotReplayError(f"other controls judge {kind} now: {', '.join(sorted(judging))}")
            catalogue = Catalogue({name: catalogue.controls[name] for name in sorted(judging)})
            standards = Standards(
                case["environment"],
                {},
                {
                    (name, tier): Resolved(Mode(stated["mode"]), stated["params"])
                    for name, stated in case["controls"].items()
                    for tier in Tier
                },
            )
        found: Sequence[Finding] = ()
        if case["resource"] is not None:
            resource, now = read_resource(case["resource"]), datetime.fromisoformat(case["now"])
            found = Judge(self._engine, catalogue, standards).findings(
                resource, stage=STAGE, now=now, request=case["request"]
            )
        given = answer(found, here)
        self._answered = {"outcome": given.outcome, "allowed": given.allowed}
        return _bytes(record.predicate["findings"]), found

    def _attachment(self, record: VerifiedRecord, name: str) -> bytes:
        for attachment in record.predicate["attachments"]:
            if attachment["name"] == name:
                return self._ledger.log.get_object(attachment["saltedDigest"])
        raise _CannotReplayError(f"its record does not keep {name}: it was written before that was kept")


def _bytes(findings: Sequence[dict[str, Any]]) -> bytes:
    return orjson.dumps(list(findings), option=orjson.OPT_SORT_KEYS)


def _said(value: object) -> dict[str, Any]:
    return {"verdict": str(value), "message": ""}


def _changes(recorded: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    before, after = ({(f["control"], f["resource"]): f for f in findings} for findings in (recorded, found))
    return [
        {"control": key[0], "resource": key[1], "recorded": before.get(key), "replayed": after.get(key)}
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
