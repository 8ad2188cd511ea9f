"""Paging and filtering, on SQLite and PostgreSQL."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from evidence import checkpoint, dsse, merkle
from evidence.strict import b64decode
from guardian.errors import UsageError
from guardian.model import rfc3339
from guardian.store import index
from guardian.usecases.ledger import Ledger
from guardian.usecases.reading import NotFoundError, Reading, Scope
from tests.reading_support import START, TESTED, TRANSPORT, Writer, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guardian.settings import Settings

ALL = Scope()
ERP = Scope(frozenset({"erp-plant1"}))


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    if request.param == "sqlite":
        return environment(tmp_path)
    monkeypatch.setenv("READING_URL", request.getfixturevalue("postgres_url"))
    return environment(tmp_path, database='"env:READING_URL"')


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A log of every kind of record, twice over; only read."""
    settings = environment(tmp_path_factory.mktemp("filled"))
    writer = Writer(settings)
    writer.some_of_all()
    writer.some_of_all()
    return settings


def minute(number: int) -> str:
    return f"2026-11-01T00:{number:02d}:00Z"


def every(reading: Reading, scope: Scope = ALL, **filters: Any) -> list[dict[str, Any]]:
    """Follow the pages to their end."""
    found: list[dict[str, Any]] = []
    cursor = None
    for _ in count():
        page = reading.records(scope, cursor=cursor, **filters)
        found += page["records"]
        cursor = page["next"]
        if cursor is None:
            return found
    raise AssertionError


def statements(settings: Settings) -> list[dict[str, Any]]:
    """Read the log without index and reading: what every answer is held against."""
    with Ledger(settings, writable=False) as ledger:
        return [{"index": one.index, "kind": one.kind, **one.predicate} for one in ledger.records()]


def chosen(record: dict[str, Any], wanted: dict[str, Any], scope: Scope) -> bool:
    """Decide, written a second time and plainly, whether a record is asked for and may be seen."""
    time, control, verdict, service = (
        record["run"]["finishedOn"],
        *(wanted.get(n) for n in ("control", "verdict", "service")),
    )
    told = [
        scope.services is None or record.get("service") in scope.services or record["kind"] == "key-event",
        scope.since is None or time >= rfc3339(moment(scope.since)),
        all(wanted.get(name) in (None, record.get(name)) for name in ("kind", "asset")),
        "since" not in wanted or time >= rfc3339(moment(wanted["since"])),
        "until" not in wanted or time < rfc3339(moment(wanted["until"])),
    ]
    if control is None:
        results = {None: record["result"], "pass": "PASSED", "fail": "FAILED", "error": "ERROR", "skip": "SKIPPED"}
        told += [service in (None, record.get("service")), record["result"] == results[verdict]]
    else:
        told.append(
            any(
                one == control and verdict in (None, came) and service in (None, of)
                for one, came, of in judgements(record)
            )
        )
    return all(told)


def moment(text: str) -> Any:
    return START.fromisoformat(text)


def judgements(record: dict[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    if record["kind"] == "admission-decision":
        yield from ((one["control"], one["verdict"], record["service"]) for one in record["findings"])
    if record["kind"] == "policy-evaluation":
        # The fixture's resources carry their service in their id.
        for one in record["findings"]:
            service = one["resource"].partition(":")[2].partition("/")[0]
            yield one["control"], one["verdict"], None if service == "None" else service
        for control, counts in record["counts"].items():
            if counts["pass"]:
                services = {TRANSPORT: "erp-plant1", TESTED: "secret-plant2"}
                yield control, "pass", services[control]


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["restore-drill", "policy-evaluation", "admission-decision", "key-event", "waiver"]),
        "service": st.sampled_from(["erp-plant1", "secret-plant2", "nobody"]),
        "control": st.sampled_from([TRANSPORT, TESTED, "no.such"]),
        "asset": st.sampled_from(["erp", "secret-asset", "nothing"]),
        "verdict": st.sampled_from(["pass", "fail", "error", "skip"]),
        "since": st.integers(0, 40).map(minute),
        "until": st.integers(0, 40).map(minute),
    },
)
SCOPES = st.builds(
    Scope,
    st.none() | st.frozensets(st.sampled_from(["erp-plant1", "secret-plant2", "nobody"])),
    st.none() | st.integers(0, 40).map(minute),
)


@hypothesis_settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(wanted=FILTERS, scope=SCOPES, limit=st.integers(1, 200), newest_first=st.booleans())
def test_paging_through_any_filter_with_any_limit_yields_each_wanted_record_once(
    filled: Settings, wanted: dict[str, Any], scope: Scope, limit: int, *, newest_first: bool
) -> None:
    expected = [one["index"] for one in statements(filled) if chosen(one, wanted, scope)]
    with Reading(filled) as reading:
        found = [row["index"] for row in every(reading, scope, limit=limit, newest_first=newest_first, **wanted)]
    assert found == (expected[::-1] if newest_first else expected)


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_control_is_found_in_whatever_windows_its_verdicts_are_read(
    filled: Settings, monkeypatch: pytest.MonkeyPatch, width: int, *, newest_first: bool
) -> None:
    monkeypatch.setattr(index, "_WINDOW", width)
    with Reading(filled) as reading:
        for control in (TRANSPORT, TESTED):
            wanted: dict[str, Any] = {"control": control, "verdict": "pass"}
            expected = [one["index"] for one in statements(filled) if chosen(one, wanted, ALL)]
            found = [row["index"] for row in every(reading, limit=1, newest_first=newest_first, **wanted)]
            assert found == (expected[::-1] if newest_first else expected)


def test_a_row_says_what_the_signed_statement_says(place: Settings) -> None:
    writer = Writer(place)
    writer.some_of_all()
    with Reading(place) as reading:
        rows = every(reading, newest_first=False)
        for row, record in zip(rows, statements(place), strict=True):
            assert row["recordId"] == record["recordId"]
            assert (row["index"], row["kind"], row["result"]) == (record["index"], record["kind"], record["result"])
            assert (row["asset"], row["service"]) == (record.get("asset"), record.get("service"))
            assert (row["slot"], row["time"]) == (record["run"]["slot"], record["run"]["finishedOn"])
        assert [row["index"] for row in every(reading, kind="restore-drill", limit=2)] == [
            row["index"] for row in rows[::-1] if row["kind"] == "restore-drill"
        ]


def test_filters_combine_on_both_databases(place: Settings) -> None:
    Writer(place).some_of_all()
    with Reading(place) as reading:
        assert [row["index"] for row in every(reading, control=TRANSPORT, verdict="fail")] == [15, 4, 1]
        assert [row["index"] for row in every(reading, control=TRANSPORT, verdict="fail", service="erp-plant1")] == [4]
        assert [row["index"] for row in every(reading, verdict="missed", asset="erp")] == [7]
        assert [row["index"] for row in every(reading, kind="restore-drill", verdict="error")] == [13, 12, 11]
        assert [row["index"] for row in every(reading, ERP, since=minute(3), until=minute(12))] == [11, 7, 4]
        assert every(reading, asset="erp", service="secret-plant2") == []


def test_pages_do_not_move_while_records_are_appended(place: Settings) -> None:
    writer = Writer(place)
    writer.some_of_all()
    with Reading(place) as reading:
        first = reading.records(ALL, limit=5)
        drills = reading.records(ALL, kind="restore-drill", limit=2)
        oldest = reading.records(ALL, limit=10, newest_first=False)
        writer.drill()
        writer.decision()
        second = reading.records(ALL, limit=5, cursor=first["next"])
        assert [row["index"] for row in first["records"] + second["records"]] == list(range(16, 6, -1))
        more = reading.records(ALL, kind="restore-drill", limit=2, cursor=drills["next"])
        assert [row["index"] for row in drills["records"] + more["records"]] == [16, 14, 13, 12]
        rest = reading.records(ALL, limit=200, newest_first=False, cursor=oldest["next"])
        assert [row["index"] for row in oldest["records"] + rest["records"]] == list(range(19))
        assert rest["next"] is None
        assert rest["size"] == 19


def test_the_first_page_shows_what_another_process_appended_a_moment_ago(place: Settings) -> None:
    with Reading(place) as reading:
        before = reading.records(ALL, kind="restore-drill")
        appended = Writer(place).drill()
        after = reading.records(ALL, kind="restore-drill")
    assert before["records"] == []
    assert [row["index"] for row in after["records"]] == [appended]
    assert after["behind"] == 0


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"kind": "restore-dril"}, "did you mean restore-drill"),
        ({"kind": "x"}, "there are: policy-evaluation"),
        ({"verdict": "passed"}, "there are: pass, fail, error, skip, missed"),
        ({"verdict": "missed", "control": TRANSPORT}, "unknown verdict"),
        ({"since": "yesterday"}, "since must be a moment"),
        ({"until": "2026-11-24T02:00:00"}, "until must say its offset"),
        ({"since": "0001-01-01T00:00:00+23:59"}, "since must be a moment"),
        ({"limit": 0}, "limit must be from 1 to 200"),
        ({"limit": 201}, "limit must be from 1 to 200"),
        ({"cursor": -1}, "cursor must be"),
        ({"cursor": 1 << 70}, "cursor must be"),
        ({"service": ""}, "service must be a name"),
        ({"asset": "a\0b"}, "asset must be a name"),
        ({"control": "c" * 501}, "control must be a name"),
    ],
)
def test_a_value_that_never_can_match_is_refused_with_what_is_known(
    filled: Settings, wanted: dict[str, Any], message: str
) -> None:
    with Reading(filled) as reading, pytest.raises(UsageError, match=message):
        reading.records(ALL, **wanted)


def test_a_date_means_its_midnight_and_an_offset_is_understood(filled: Settings) -> None:
    with Reading(filled) as reading:
        assert every(reading, until="2026-11-01") == []
        assert every(reading, since="2026-11-01", until="2026-11-01T01:03:00+01:00") == every(reading, until=minute(3))


def test_a_cursor_beyond_either_end_is_an_empty_page(filled: Settings) -> None:
    with Reading(filled) as reading:
        filters: list[dict[str, Any]] = [{}, {"kind": "restore-drill"}, {"control": TRANSPORT}]
        for wanted in filters:
            assert reading.records(ALL, cursor=0, **wanted)["records"] == []
            assert reading.records(ALL, cursor=10**9, newest_first=False, **wanted)["records"] == []
            newest = reading.records(ALL, cursor=10**9, **wanted)["records"]
            assert newest == reading.records(ALL, **wanted)["records"]


def test_a_record_carries_all_that_a_stranger_needs_to_check_it(place: Settings) -> None:
    writer = Writer(place)
    writer.some_of_all()
    with Reading(place) as reading:
        for number in range(17):
            got = reading.record(ALL, number)
            entry, envelope = b64decode(got["entry"], "entry"), b64decode(got["envelope"], "envelope")
            note = checkpoint.parse(got["checkpoint"].encode())
            proof = got["proof"]
            path = [b64decode(step, "step") for step in proof["hashes"]]
            root = merkle.root_from_inclusion(merkle.leaf_hash(entry), proof["leafIndex"], proof["treeSize"], path)
            assert (proof["treeSize"], root) == (note.size, note.root)
            signed_by = [signature.key_id for signature in dsse.open_envelope(envelope).signatures]
            assert [key["id"] for key in got["keys"]["record"]] == signed_by
            assert got == reading.record(ALL, str(number)) == reading.record(ALL, got["record"]["recordId"])
            assert (got["previous"], got["next"]) == (
                number - 1 if number else None,
                number + 1 if number < 16 else None,
            )
        for unknown in (17, "-1", "01", "9" * 30, "٣", "nonsense", "01a20993-90cb-72a4-916a-999380000000"):
            with pytest.raises(NotFoundError, match="there is no record"):
                reading.record(ALL, unknown)


def test_the_tiles_of_the_log_are_those_of_its_checkpoint(place: Settings) -> None:
    Writer(place).some_of_all()
    with Reading(place) as reading:
        note = checkpoint.parse(reading.checkpoint() or b"")
        tile = reading.tile("tile/0/000.p/17")
        bundle = reading.tile("tile/entries/000.p/17")
        assert tile is not None
        assert bundle is not None
        leaves = [tile[0][at : at + 32] for at in range(0, len(tile[0]), 32)]
        assert merkle.CompactRange().append(leaves).root() == note.root
        assert tile[1] is bundle[1] is False
        assert bundle[0][2 : 2 + int.from_bytes(bundle[0][:2], "big")] == b64decode(reading.record(ALL, 0)["entry"], "")
        assert reading.tile("tile/0/000.p/18") is reading.tile("tile/0/000") is reading.tile("../guardian.yaml") is None
