"""What lies in the spool becomes signed records: each once, nothing lost in silence."""

from __future__ import annotations

import errno
import json
import threading
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

import jsonschema
import orjson
import pytest
import uuid6

from guardian import config
from guardian.errors import UsageError
from guardian.usecases import decisions, spool
from guardian.usecases.decisions import Signer, sign_spool
from guardian.usecases.init import init
from guardian.usecases.ledger import Ledger
from guardian.usecases.spool import Gap, Spool
from guardian.usecases.verify import verify_live

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evidence.verify import VerifiedRecord
    from guardian.settings import Settings

NOW = "2026-11-23T11:00:00.000Z"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "guardian.yaml"
    path.write_text(
        "environment: staging\ncollectors: [{name: prod-eu, type: kubernetes}]\n"
        'webhook: {certificate: tls.pem, key: "file:tls.key"}\n'
    )
    init(path, environment=None)
    return config.load(path)


@pytest.fixture
def writer(settings: Settings) -> Iterator[Spool]:
    written = Spool(folder(settings))
    yield written
    written.close()


def folder(settings: Settings) -> Path:
    assert settings.webhook is not None
    return settings.webhook.spool


def decision(**changes: Any) -> tuple[str, bytes]:
    """Return the id and the line of a denial."""
    identity = str(uuid6.uuid7())
    request = {"operation": "CREATE", "kind": "k8s.core.Pod", "namespace": "erp", "name": "odoo"}
    finding = {"control": "workload.image-digest", "resource": "r", "verdict": "fail", "waiver": None}
    line = {
        "id": identity,
        "uid": "705ab4f5",
        "outcome": "deny",
        "allowed": False,
        "message": "no",
        "warnings": [],
        "findings": [finding],
        "policy": {"bundleDigest": "0" * 64, "engine": "wasm", "engineVersion": "50"},
        "case": {"schema": "guardian/review/v1", "now": NOW, "resource": None, "request": request, "controls": {}},
        **changes,
    }
    return identity, orjson.dumps(line, option=orjson.OPT_SORT_KEYS)


def sign(settings: Settings) -> None:
    """Sign what is there, and stop."""
    stop = threading.Event()
    stop.set()
    sign_spool(settings, stop=stop)


def signed(settings: Settings) -> list[VerifiedRecord]:
    with Ledger(settings, writable=False) as ledger:
        return [record for record in ledger.records() if record.kind.startswith("admission")]


def test_decisions_become_records_in_their_order_with_their_own_ids(settings: Settings, writer: Spool) -> None:
    made = [decision(), decision(outcome="allow", allowed=True, findings=[]), decision(outcome="overdue", findings=[])]
    writer.append([line for _, line in made], now=0)
    writer.finish(now=0, even_if_young=True)
    sign(settings)
    records = signed(settings)
    assert [record.record_id for record in records] == [identity for identity, _ in made]
    assert [record.predicate["result"] for record in records] == ["FAILED", "SKIPPED", "ERROR"]
    assert {record.subject for record in records} == {"request:CREATE:k8s.core.Pod/erp/odoo"}
    assert {record.predicate["run"]["trigger"] for record in records} == {"admission"}
    assert not verify_live(settings).problems
    schema = json.loads((resources.files("guardian.schemas") / "record.schema.json").read_text())
    for record in records:
        jsonschema.validate(record.statement, schema)
    assert spool.backlog(folder(settings)).files == 0


def test_a_signer_that_died_before_it_removed_the_file_signs_nothing_twice(settings: Settings, writer: Spool) -> None:
    identity, line = decision()
    writer.append([line], now=0)
    writer.finish(now=0, even_if_young=True)
    with Ledger(settings, writable=True) as ledger:
        [batch] = spool.read_batches(folder(settings))
        Signer(ledger)._sign(batch, set())  # and no commit
    sign(settings)
    assert [record.record_id for record in signed(settings)] == [identity]
    assert spool.backlog(folder(settings)).files == 0


def test_more_decisions_than_one_commit_takes_are_all_signed(
    settings: Settings, writer: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "_AT_ONCE", 3)
    made = [decision() for _ in range(8)]
    writer.append([line for _, line in made], now=0)
    writer.finish(now=0, even_if_young=True)
    sign(settings)
    assert [record.record_id for record in signed(settings)] == [identity for identity, _ in made]


def test_a_failure_after_the_commit_signs_nothing_twice(
    settings: Settings, writer: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, line = decision()
    writer.append([line], now=0)
    writer.finish(now=0, even_if_young=True)
    with Ledger(settings, writable=True) as ledger:
        signer, sign_checkpoint = Signer(ledger), ledger.log._sign

        def full(_head: object) -> None:
            raise OSError(errno.ENOSPC, "no space left for the checkpoint")

        monkeypatch.setattr(ledger.log, "_sign", full)
        with pytest.raises(OSError, match="no space left"):
            signer.sign(folder(settings))
        monkeypatch.setattr(ledger.log, "_sign", sign_checkpoint)
    sign(settings)
    assert [record.record_id for record in signed(settings)] == [identity]


def test_a_decision_larger_than_a_record_may_be_does_not_stop_the_others(
    settings: Settings, writer: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "LARGEST_STATEMENT", 20_000)
    (_, huge), (identity, line) = decision(message="x" * 30_000), decision()
    writer.append([huge, line], now=0)
    writer.finish(now=0, even_if_young=True)
    sign(settings)
    kinds = [(record.kind, record.predicate.get("count")) for record in signed(settings)]
    assert kinds == [("admission-decision", None), ("admission-gap", 1)]
    assert signed(settings)[0].record_id == identity
    assert spool.backlog(folder(settings)).damaged == 1, "what could not be signed is kept"


def test_gaps_and_lines_that_cannot_be_read_are_told(settings: Settings, writer: Spool) -> None:
    gap = Gap(
        str(uuid6.uuid7()), datetime(2026, 11, 23, 10, tzinfo=UTC), datetime(2026, 11, 23, 11, tzinfo=UTC), 41, "queue"
    )
    identity, line = decision()
    writer.append([b'{"id": "no decision"}', line, gap.line()], now=0)
    writer.finish(now=0, even_if_young=True)
    sign(settings)
    kinds = {record.record_id: record for record in signed(settings)}
    assert kinds.pop(identity).kind == "admission-decision"
    told = kinds.pop(gap.id).predicate
    assert (told["from"], told["until"]) == ("2026-11-23T10:00:00.000Z", "2026-11-23T11:00:00.000Z")
    assert (told["count"], told["why"], told["result"]) == (41, "queue", "ERROR")
    [unread] = kinds.values()
    assert (unread.kind, unread.predicate["count"], unread.predicate["why"]) == ("admission-gap", 1, "damaged")


def test_a_second_signer_of_one_spool_is_refused(settings: Settings) -> None:
    with decisions._sole_signer(folder(settings)), pytest.raises(UsageError, match="another process signs"):
        sign(settings)
