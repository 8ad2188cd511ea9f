"""Compare the manifest of the source with one captured from the restored database.

Invariant: a check fails only for a difference that a faithful restore cannot make, and passes only if nothing was left
out of the comparison silently. Tables and objects are named, rows never. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from verifiers.postgres.manifest_shape import PostgresManifest, TableContent
    from verifiers.postgres.snapshot import SequenceState

SHOWN = 50  # names in a check; the counts tell how many there are

# PostgreSQL 15 changed the owner and the grants of a new database's schema public; 17 brought the privilege MAINTAIN.
_SINCE_15 = frozenset({"owner of schema public", "grants on schema public"})
_SINCE_17 = "maintain grants on "

# Neither of these is restored without --create or pg_dumpall, or it belongs to what a server brings with it.
_NOT_COMPARED = (
    " (not compared: settings and grants of the database and settings of roles, which pg_dump does not hold; grants on"
    " objects of the system and of extensions)"
)


def compare(expected: PostgresManifest, observed: PostgresManifest) -> list[Check]:
    """Return catalog.diff, content.rows, content.hashes, sequences, large-objects and materialized-views, in order.

    All have level exact. `identity` and `extensions` are in `verifiers.postgres.checks`.
    """
    return [
        _catalog(expected, observed),
        _rows(expected, observed),
        _hashes(expected, observed),
        _sequences(expected, observed),
        _large_objects(expected, observed),
        _materialized_views(expected, observed),
    ]


def _check(check_id: str, verdict: Verdict, expected: Any, observed: Any, message: str) -> Check:  # noqa: ANN401 -- JSON
    return Check(check_id, Assurance.EXACT, verdict, expected, observed, message)


def _named(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _catalog(expected: PostgresManifest, observed: PostgresManifest) -> Check:
    if expected.catalog_version != observed.catalog_version:
        message = (
            "The manifest describes objects as another version of Guardian did. Take the next backup with this one."
        )
        return _check("catalog.diff", Verdict.ERROR, {"objects": len(expected.catalog)}, None, message)
    ignored = _incomparable(expected, observed)
    left = {name: digest for name, digest in expected.catalog.items() if not ignored(name)}
    right = {name: digest for name, digest in observed.catalog.items() if not ignored(name)}
    missing = sorted(left.keys() - right.keys())
    added = sorted(right.keys() - left.keys())
    respelled = {name for name, text in expected.definitions.items() if observed.definitions.get(name, text) != text}
    differing = {name for name in left.keys() & right.keys() if left[name] != right[name]}
    same_major = expected.major == observed.major
    changed = sorted(differing | respelled if same_major else differing)
    loosely = [] if same_major else sorted(respelled - differing)
    counts = {"objects": len(right), "missing": len(missing), "added": len(added), "changed": len(changed)}
    parts = [
        f"{len(names)} {word} ({_named(names)})"
        for word, names in (("missing", missing), ("changed", changed), ("added", added))
        if names
    ]
    if not parts:
        message = f"All {len(left)} objects, with owners and grants, are defined as at the source{_NOT_COMPARED}."
        if loosely:
            counts["comparedLoosely"] = len(loosely)
            message = (
                f"{message[:-1]}; PostgreSQL {observed.major} spells {len(loosely)} definitions otherwise than"
                f" {expected.major}, so these were compared without parentheses and casts: {_named(loosely)}."
            )
        return _check("catalog.diff", Verdict.PASS, {"objects": len(left)}, counts, message)
    names = {"missingNames": missing[:SHOWN], "changedNames": changed[:SHOWN], "addedNames": added[:SHOWN]}
    message = f"The restored database is not made like the source: {'; '.join(parts)}."
    return _check("catalog.diff", Verdict.FAIL, {"objects": len(left)}, {**counts, **names}, message)


def _incomparable(expected: PostgresManifest, observed: PostgresManifest) -> Callable[[str], bool]:
    majors = sorted((expected.major, observed.major))
    straddles_15 = majors[0] < 15 <= majors[1]
    before_17 = majors[0] < 17

    def ignored(name: str) -> bool:
        return (straddles_15 and name in _SINCE_15) or (before_17 and name.startswith(_SINCE_17))

    return ignored


def _rows(expected: PostgresManifest, observed: PostgresManifest) -> Check:
    differing = {
        name: {"expected": table.rows, "observed": observed.tables[name].rows if name in observed.tables else None}
        for name, table in expected.tables.items()
        if name not in observed.tables or observed.tables[name].rows != table.rows
    }
    added = sorted(observed.tables.keys() - expected.tables.keys())
    wanted = {"tables": len(expected.tables), "rows": expected.rows}
    found: dict[str, Any] = {"tables": len(observed.tables), "rows": observed.rows}
    if not differing and not added:
        message = f"All {len(expected.tables)} tables have the source's number of rows, {expected.rows} in all."
        return _check("content.rows", Verdict.PASS, wanted, found, message)
    found["differing"] = dict(sorted(differing.items())[:SHOWN])
    found["added"] = added[:SHOWN]
    said = [
        f"{name} has {counts['observed']} rows instead of {counts['expected']}"
        if counts["observed"] is not None
        else f"{name} is missing"
        for name, counts in sorted(differing.items())
    ] + [f"{name} was not at the source" for name in added]
    message = f"Tables differ in their number of rows: {_named(said)}."
    return _check("content.rows", Verdict.FAIL, wanted, found, message)


def _hashes(expected: PostgresManifest, observed: PostgresManifest) -> Check:
    wanted = {"tables": len(expected.tables)}
    reason = _cannot_compare(expected, observed)
    differs = _difference(expected, observed)
    differing = sorted(
        name
        for name, table in expected.tables.items()
        if name not in observed.tables or differs(table, observed.tables[name])
    )
    if differing:
        found = {"tables": len(observed.tables), "differing": len(differing), "differingTables": differing[:SHOWN]}
        share = f"{len(differing)} of {len(expected.tables)} tables"
        message = f"The content of {share} is not that of the source: {_named(differing)}."
        return _check("content.hashes", Verdict.FAIL, wanted, found, message)
    if reason:
        return _check("content.hashes", Verdict.ERROR, wanted, None, f"The contents could not be compared: {reason}.")
    found = {"tables": len(observed.tables), "differing": 0}
    message = f"All {len(expected.tables)} tables hold exactly the source's content."
    return _check("content.hashes", Verdict.PASS, wanted, found, message)


def _cannot_compare(expected: PostgresManifest, observed: PostgresManifest) -> str:
    if expected.method != observed.method:
        return f"rows were hashed by {expected.method} at the source, by {observed.method} here"
    keyed = expected.key_id is not None or any(table.hash is None for table in expected.tables.values())
    if keyed and (expected.key_id is None or observed.key_id is None):
        return "small tables are hashed under the environment's key, which one side had not"
    if expected.key_id != observed.key_id:
        return "small tables were hashed under another key than the environment's present one"
    return ""


def _difference(expected: PostgresManifest, observed: PostgresManifest) -> Callable[[TableContent, TableContent], bool]:
    """Return the predicate whether two contents are surely not the same, by whatever is comparable of them."""
    same_method = expected.method == observed.method
    same_key = same_method and expected.key_id == observed.key_id

    def differs(left: TableContent, right: TableContent) -> bool:
        pairs = [(left.hash, right.hash)] if same_method else []
        pairs += [(left.keyed, right.keyed), (left.sample, right.sample)] if same_key else []
        return left.rows != right.rows or any(
            one is not None and other is not None and one != other for one, other in pairs
        )

    return differs


def _sequences(expected: PostgresManifest, observed: PostgresManifest) -> Check:
    missing = sorted(expected.sequences.keys() - observed.sequences.keys())
    behind = sorted(
        name
        for name, state in expected.sequences.items()
        if name in observed.sequences and _is_behind(observed.sequences[name], state)
    )
    wanted = {"sequences": len(expected.sequences), "behind": 0, "missing": 0}
    found: dict[str, Any] = {"sequences": len(observed.sequences), "behind": len(behind), "missing": len(missing)}
    if not behind and not missing:
        message = f"None of {len(expected.sequences)} sequences is behind the source."
        return _check("sequences", Verdict.PASS, wanted, found, message)
    found |= {"behindNames": behind[:SHOWN], "missingNames": missing[:SHOWN]}
    said = [f"{len(behind)} behind ({_named(behind)})"] if behind else []
    said += [f"{len(missing)} missing ({_named(missing)})"] if missing else []
    message = f"Sequences would hand out numbers a second time: {'; '.join(said)}."
    return _check("sequences", Verdict.FAIL, wanted, found, message)


def _is_behind(here: SequenceState, source: SequenceState) -> bool:
    if source.cycles:
        return False  # it begins anew by itself, so no order tells
    sign = 1 if source.increment > 0 else -1
    return (sign * here.last_value, here.is_called) < (sign * source.last_value, source.is_called)


def _large_objects(expected: PostgresManifest, observed: PostgresManifest) -> Check:
    left, right = expected.large_objects, observed.large_objects
    wanted, found = ({"count": side.count, "bytes": side.bytes, "hash": side.hash} for side in (left, right))
    if left.count != right.count:
        message = f"{right.count} large objects were restored, where the source had {left.count}."
        return _check("large-objects", Verdict.FAIL, wanted, found, message)
    if left.hash is None or right.hash is None:
        side = "source" if left.hash is None else "restored database"
        message = f"Contents of large objects could not be compared: the role at the {side} may not read or lock them."
        return _check("large-objects", Verdict.ERROR, wanted, found, message)
    if (left.bytes, left.hash) != (right.bytes, right.hash):
        message = f"The content of the {left.count} large objects is not that of the source."
        return _check("large-objects", Verdict.FAIL, wanted, found, message)
    return _check("large-objects", Verdict.PASS, wanted, found, f"All {left.count} large objects are as at the source.")


def _materialized_views(expected: PostgresManifest, observed: PostgresManifest) -> Check:
    """A restore refreshes them, so their rows may be newer than the source's: that is told, and is no failure."""
    missing = sorted(expected.materialized_views.keys() - observed.materialized_views.keys())
    differs = _difference(expected, observed)
    populated = {name: view for name, view in expected.materialized_views.items() if view is not None}
    empty = sorted(name for name in populated if observed.materialized_views.get(name) is None and name not in missing)
    refreshed = sorted(
        name
        for name, view in populated.items()
        if (here := observed.materialized_views.get(name)) is not None and differs(view, here)
    )
    wanted = {"views": len(expected.materialized_views), "populated": len(populated)}
    found: dict[str, Any] = {
        "views": len(observed.materialized_views),
        "populated": sum(view is not None for view in observed.materialized_views.values()),
        "refreshedDiffering": refreshed[:SHOWN],
    }
    if missing or empty:
        found |= {"missingNames": missing[:SHOWN], "unpopulatedNames": empty[:SHOWN]}
        said = [f"{name} is missing" for name in missing] + [f"{name} is not populated" for name in empty]
        message = f"Materialized views did not come back: {_named(said)}."
        return _check("materialized-views", Verdict.FAIL, wanted, found, message)
    message = f"All {len(expected.materialized_views)} materialized views are there, populated as at the source"
    message += (
        f"; refreshed by the restore, {_named(refreshed)} hold other rows than at the source." if refreshed else "."
    )
    return _check("materialized-views", Verdict.PASS, wanted, found, message)
