from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from guardian import config
from guardian.collectors import Observed, Unreadable
from guardian.errors import ConfigError, UsageError
from guardian.model import COLLECTION_ERROR, CollectorStatus, Resource, Snapshot
from guardian.normalise import Estate
from guardian.usecases.collect import build, collect, read_snapshot, run

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping, Sequence

    from guardian.settings import Settings

NOW = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
DRILL = {
    "asset": "erp",
    "service": "erp-plant1",
    "backupId": "20261123T100000Z",
    "backupTakenAt": "2026-11-23T10:00:00Z",
    "backupAgeSeconds": 3600,
    "recordId": "0193",
    "logIndex": 3,
    "startedOn": "2026-11-23T10:00:00Z",
    "finishedOn": "2026-11-23T10:01:00Z",
    "ageSeconds": 3540,
    "verdict": "pass",
    "assurance": "sound",
    "requiredAssurance": "sound",
    "restoreSeconds": 1.5,
    "estimatedRtoSeconds": 301.5,
    "rpoSeconds": None,
    "failedChecks": [],
    "erredChecks": [],
}


def settings(folder: Path, *, backups: str = "", collectors: str = "[]") -> Settings:
    (folder / "keys").mkdir(exist_ok=True)
    key = folder / "keys/redaction.key"
    key.write_text("0f" * 32, encoding="utf-8")
    key.chmod(0o600)
    path = folder / "guardian.yaml"
    path.write_text(
        f"environment: production\ncollectors: {collectors}\nservices:\n- name: erp-plant1\n  tier: critical\n"
        f"  rto: 4h\n  dependsOn: []\n  assets: [{{name: erp, type: postgres, backups: [{backups}]}}]\n",
        encoding="utf-8",
    )
    return config.load(path)


def by_id(snapshot: Snapshot) -> dict[str, Resource]:
    return {resource.id: resource for resource in snapshot.resources}


def validate(snapshot: Snapshot) -> None:
    schemas = files("guardian.schemas")
    header, *resources = (json.loads(line) for line in snapshot.data.splitlines())
    Draft202012Validator(json.loads(schemas.joinpath("snapshot.schema.json").read_text())).validate(header)
    validator = Draft202012Validator(json.loads(schemas.joinpath("resource.schema.json").read_text()))
    for resource in resources:
        validator.validate(resource)


def test_declared_and_recorded_facts_stand_in_the_snapshot(tmp_path: Path) -> None:
    snapshot = collect(settings(tmp_path), now=NOW, drills=[DRILL])
    found = by_id(snapshot)
    assert list(found) == [
        "declared:production/asset/erp",
        "declared:production/service/erp-plant1",
        "records:production/drill/0193",
    ]
    service = found["declared:production/service/erp-plant1"]
    assert (service.service, service.tier, service.attributes["rtoSeconds"]) == ("erp-plant1", "critical", 14_400)
    assert (service.attributes["dependsOn"], service.attributes["owner"]) == ([], None)
    drill = found["records:production/drill/0193"]
    assert (drill.asset, drill.service, dict(drill.attributes)) == ("erp", "erp-plant1", DRILL)
    assert [(status.type, status.status) for status in snapshot.collectors] == [
        ("declared", "complete"),
        ("records", "complete"),
    ]
    validate(snapshot)


def test_backups_are_found_with_age_and_size(tmp_path: Path) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    (folder / "20261123T100000Z.dump").write_bytes(b"PGDMP" + bytes(100))
    (folder / "20261123T120000Z.dump").write_bytes(b"")
    snapshot = collect(
        settings(tmp_path, backups="{name: n, format: pg_dump, path: dumps, every: 24h}"), now=NOW, drills=[]
    )
    good = by_id(snapshot)["backup:erp/20261123T100000Z"]
    assert (good.asset, good.service, good.attributes["ageSeconds"]) == ("erp", "erp-plant1", 3600)
    assert (good.attributes["takenAt"], good.attributes["job"]) == ("2026-11-23T10:00:00Z", "n")
    future = by_id(snapshot)["backup:erp/20261123T120000Z"].attributes
    assert (future["ageSeconds"], future["complete"]) == (None, False)
    assert "lies in the future" in future["reason"]
    assert json.loads(snapshot.data.splitlines()[0])["counts"]["backup.Backup"] == 2
    validate(snapshot)


def test_missing_backup_folder_is_an_error_and_costs_the_other_job_nothing(tmp_path: Path) -> None:
    (tmp_path / "dumps").mkdir()
    (tmp_path / "dumps/a.dump").write_bytes(b"PGDMP" + bytes(100))
    jobs = "{name: n, format: pg_dump, path: dumps}, {name: m, format: pg_dump, path: nowhere}"
    snapshot = collect(settings(tmp_path, backups=jobs), now=NOW, drills=[])
    error = by_id(snapshot)["error:backups/production/backup.Backup"]
    assert error.kind == COLLECTION_ERROR
    assert "nowhere" in error.attributes["detail"]
    assert "backup:erp/a" in by_id(snapshot)
    assert {status.type: status.status for status in snapshot.collectors}["backups"] == "partial"
    snapshot = collect(settings(tmp_path, backups="{name: m, format: pg_dump, path: nowhere}"), now=NOW, drills=[])
    assert {status.type: status.status for status in snapshot.collectors}["backups"] == "failed"
    validate(snapshot)


def test_one_id_in_two_jobs_names_the_job_in_the_second(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.dump").write_bytes(b"PGDMP")
    jobs = "{name: n, format: pg_dump, path: one}, {name: m, format: pg_dump, path: two}"
    snapshot = collect(settings(tmp_path, backups=jobs), now=NOW, drills=[])
    assert {"backup:erp/x", "backup:erp/m/x"} <= by_id(snapshot).keys()


def test_backup_name_that_is_no_utf8_is_still_listed(tmp_path: Path) -> None:
    (tmp_path / "dumps").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "dumps") + b"/\xff.dump")).write_bytes(b"PGDMP")
    snapshot = collect(settings(tmp_path, backups="{name: n, format: pg_dump, path: dumps}"), now=NOW, drills=[])
    assert "backup:erp/\\xff" in by_id(snapshot)


def test_without_a_redaction_key_nothing_is_collected(tmp_path: Path) -> None:
    given_settings = settings(tmp_path)
    (tmp_path / "keys/redaction.key").unlink()
    with pytest.raises(ConfigError, match=r"guardian\.yaml:1: keys\.redaction: cannot read the secret"):
        collect(given_settings, now=NOW, drills=[])


class Broken:
    """A collector with a defect, which breaks while it holds a secret."""

    type = "broken"
    name = "b"
    id_scheme = "broken"
    kinds: Sequence[str] = ("broken.One", "broken.Two")
    sensitive: Mapping[str, Sequence[str]] = {}

    def __init__(self, observed: Sequence[Observed | Unreadable]) -> None:
        self._observed = observed

    def collect(self, now: datetime) -> Iterator[Observed | Unreadable]:
        yield from self._observed
        raise RuntimeError(f"secret CANARY at {now}")


def test_collector_that_breaks_yields_errors_for_all_its_kinds_without_its_words() -> None:
    status, found = run(Broken([]), Estate((), bytes(32)), NOW)
    assert status.status == "failed"
    assert [resource.attributes["kind"] for resource in found] == ["broken.One", "broken.Two"]
    assert "RuntimeError in collect of test_collect_snapshot.py" in found[0].attributes["detail"]
    assert "CANARY" not in str(found)


def test_observation_without_json_form_costs_its_kind_only() -> None:
    observed = [Observed("broken.One", "b/1", {"x": b"bytes"}), Observed("broken.Two", "b/2", {})]
    status, found = run(Broken(observed), Estate((), bytes(32)), NOW)
    assert status.status == "partial"
    assert "broken:b/2" in [resource.id for resource in found]


def test_same_natural_key_twice_is_told_apart() -> None:
    observed = [Observed("broken.One", key, {"n": n}) for n, key in enumerate(("b/1", "b/1#2", "b/1", "b/1"))]
    _, found = run(Broken(observed), Estate((), bytes(32)), NOW)
    ids = [resource.id for resource in found if resource.kind == "broken.One"]
    assert len(set(ids)) == 4
    assert ids[:2] == ["broken:b/1", "broken:b/1#2"]


def made(ids: Sequence[str], attributes: Any) -> list[Resource]:
    source = {"collector": "postgres", "name": "db"}
    return [Resource("postgres.Role", name, None, None, None, {}, source, {"value": attributes}, ()) for name in ids]


STATUSES = [
    CollectorStatus("postgres", "db", ("postgres.Role", "postgres.Server"), "complete"),
    CollectorStatus("declared", "production", ("guardian.Service",), "complete"),
]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.text(min_size=1), unique=True, max_size=6), values, st.randoms(use_true_random=False))
def test_snapshot_is_the_same_whatever_the_order_and_reads_back_as_itself(
    ids: list[str], attributes: Any, chance: random.Random
) -> None:
    resources = made(ids, attributes)
    shuffled, statuses = list(resources), list(STATUSES)
    chance.shuffle(shuffled)
    chance.shuffle(statuses)
    snapshot = build("production", NOW, STATUSES, resources)
    assert build("production", NOW, statuses, shuffled).data == snapshot.data
    again = read_snapshot(snapshot.data, digest=snapshot.digest)
    assert (again.data, again.digest, again.taken_at) == (snapshot.data, snapshot.digest, NOW)
    assert [resource.to_json() for resource in again.resources] == [
        resource.to_json() for resource in snapshot.resources
    ]


def test_two_resources_of_one_id_make_no_snapshot() -> None:
    with pytest.raises(ValueError, match="share an id"):
        build("production", NOW, [], made(["a", "a"], None))


SMALL = build("production", NOW, STATUSES, made(["pg:db/role/a", "pg:db/role/b"], {"n": 1})).data


def test_any_changed_byte_is_caught_by_the_digest() -> None:
    digest = read_snapshot(SMALL).digest
    for place in range(len(SMALL)):
        changed = SMALL[:place] + bytes([SMALL[place] ^ 1]) + SMALL[place + 1 :]
        with pytest.raises(UsageError, match="expected"):
            read_snapshot(changed, digest=digest)


def lines_of(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def edited(number: int, **changes: Any) -> bytes:
    lines = lines_of(SMALL)
    lines[number] = orjson.dumps({**orjson.loads(lines[number]), **changes}, option=orjson.OPT_SORT_KEYS) + b"\n"
    return b"".join(lines)


REFUSED = {
    "empty": (b"", "line 1"),
    "no JSON": (b"hello\n", "line 1"),
    "list": (b"[]\n", "line 1: it is not written as Guardian writes it"),
    "other schema": (edited(0, schema="guardian/snapshot/v9"), "line 1: the header's schema"),
    "more header": (edited(0, extra=1), "line 1: the header has other keys"),
    "local time": (edited(0, takenAt="2026-11-23T11:00:00+01:00"), "line 1: takenAt"),
    "impossible time": (edited(0, takenAt="2026-13-23T11:00:00Z"), "line 1: not of the expected shape"),
    "unknown status": (
        edited(0, collectors=[{"type": "a", "name": "b", "kinds": [], "status": "fine"}]),
        "line 1: a coll",
    ),
    "wrong count": (edited(0, counts={"postgres.Role": 1}), "the header does not count"),
    "missing key": (edited(1, tier=None).replace(b'"asset":null,', b"", 1), "line 2: not of the expected shape"),
    "unknown key": (edited(1, extra=1), "line 2: not of the expected shape"),
    "unknown tier": (edited(1, tier="gold"), "line 2: not of the expected shape"),
    "attributes no object": (edited(1, attributes=[]), "line 2: scope, source and attributes"),
    "id no text": (edited(1, id=7), "line 2: kind and id"),
    "same id twice": (edited(2, id="pg:db/role/a"), "share an id"),
    "out of order": (b"".join(lines_of(SMALL)[place] for place in (0, 2, 1)), "out of order"),
    "duplicate key": (SMALL.replace(b'{"asset":null', b'{"asset":null,"asset":null', 1), "line 2: it is not written"),
    "blank": (SMALL.replace(b'"n":1', b'"n": 1', 1), "line 2: it is not written"),
    "other number": (SMALL.replace(b'"n":1', b'"n":1e0', 1), "line 2: it is not written"),
    "cut": (SMALL[:-1], "line 3: it is not written"),
    "line missing": (b"".join(lines_of(SMALL)[:2]), "the header does not count"),
    "more lines": (SMALL + b"\n", "line 4"),
}


@pytest.mark.parametrize(("data", "why"), REFUSED.values(), ids=REFUSED)
def test_what_guardian_did_not_write_is_refused_naming_the_line(data: bytes, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_snapshot(data)
    assert why in str(caught.value)


def test_moment_is_taken_in_whole_seconds_of_utc(tmp_path: Path) -> None:
    snapshot = collect(settings(tmp_path), now=NOW + timedelta(microseconds=5), drills=[])
    assert snapshot.taken_at == NOW
    assert read_snapshot(snapshot.data).taken_at == NOW
