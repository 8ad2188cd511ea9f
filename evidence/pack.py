"""Write a pack: the records with proofs, keyrings, attachments, coverage and views, as one reproducible zip.

Invariant: the same log state, key, views and coverage give the same bytes. Views and coverage come in as bytes: this
module knows nothing of what they say. FORMAT.md, "Pack".
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, TypeAlias

from evidence import checkpoint, dsse, judge, keyring, statement
from evidence.durable import make_private_folder, sync_folder
from evidence.entry import open_record
from evidence.errors import EvidenceError, InvalidEvidenceError
from evidence.packfile import INDEX, PackWriter, refuse_name
from evidence.strict import b64encode, canonical
from evidence.verify_pack import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from io import BufferedRandom
    from pathlib import Path

    from evidence.keys import PrivateKey
    from evidence.log import Log
    from evidence.store import Row

    # Content is read when it is needed, so that a pack never lies in memory as a whole.
    Members: TypeAlias = dict[str, Callable[[], bytes]]


@dataclass(frozen=True, slots=True)
class Written:
    """A pack that was written. sha256: hex, of the zip; records: how many it holds, of `size` in the log."""

    path: Path
    sha256: str
    records: int
    size: int


def write_pack(
    path: Path,
    log: Log,
    *,
    record_key: PrivateKey,
    views: Mapping[str, bytes],
    coverage: bytes,
    records: Iterable[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write the pack of `log` to `path`, atomically, mode 0600.

    views: name below `views/` -> content. records: a selection of indexes, None for all; key-events always go along.
    progress: called with (members written, all). Raises EvidenceError if the log is empty, damaged, or too large.
    """
    note = log.checkpoint()
    if note is None:
        raise EvidenceError(f"the log {log.origin} is empty: there is nothing to export yet")
    size = checkpoint.parse(note).size
    members: Members = {f"views/{name}": partial(bytes, content) for name, content in views.items()}
    chosen = _add_records(members, log, size, None if records is None else set(records))
    members["checkpoint"] = partial(bytes, note)
    members["coverage.json"] = partial(bytes, coverage)
    members["verify.py"] = verifier
    members["README.md"] = partial(bytes, _readme(log, size, members["keyring/1.dsse.json"]()))
    members[INDEX] = partial(bytes, _index(members, log.origin, note, None if records is None else chosen, record_key))
    return Written(path, _replace(path, members, progress), len(chosen), size)


def verifier() -> bytes:
    """Return the verify.py that every pack carries; its SHA-256 is the published digest."""
    return resources.files("evidence").joinpath("pack_verify.py").read_bytes()


def _add_records(members: Members, log: Log, size: int, wanted: set[int] | None) -> list[int]:
    """Add records, entries, proofs, keyrings and attachments; return the indexes that went in."""
    if wanted is not None and not wanted <= set(range(size)):
        raise EvidenceError(f"a selection must lie between 0 and {size - 1}")
    chosen: list[int] = []
    keyrings = expected = 0
    for row in log.rows(0, size):
        if row.index != expected:
            break
        expected += 1
        try:
            _, record = open_record(row.entry, row.envelope)
            key_event = record.kind == statement.KEY_EVENT
            if wanted is not None and row.index not in wanted and not key_event:
                continue
            if key_event:
                keyrings += 1
                members[f"keyring/{keyrings}.dsse.json"] = partial(bytes, keyring.envelope_of(record.predicate))
            for one in judge.attachments_of(record.predicate):
                members[f"attachments/{one.salted_digest}"] = partial(log.get_salted_object, one.salted_digest)
        except EvidenceError as error:
            raise InvalidEvidenceError(f"record {row.index} cannot be exported: {error}") from error
        _add_record(members, log, size, row)
        chosen.append(row.index)
    if expected < size:
        raise InvalidEvidenceError(f"record {expected} is missing from the log: it cannot be exported")
    return chosen


def _add_record(members: Members, log: Log, size: int, row: Row) -> None:
    members[f"records/{row.index}.dsse.json"] = partial(log.envelope, row.index)
    members[f"entries/{row.index}.json"] = partial(bytes, row.entry)
    members[f"proofs/{row.index}.json"] = partial(_proof, log, row.index, size)


def _proof(log: Log, index: int, size: int) -> bytes:
    hashes = [b64encode(one) for one in log.inclusion_proof(index, size)]
    return canonical({"hashes": hashes, "index": index, "size": size})


def _index(members: Members, origin: str, note: bytes, selection: list[int] | None, key: PrivateKey) -> bytes:
    for name in members:
        refuse_name(name)
    subjects = [
        {"name": name, "digest": {"sha256": hashlib.sha256(members[name]()).hexdigest()}} for name in sorted(members)
    ]
    predicate = {"checkpoint": note.decode("utf-8"), "format": FORMAT, "origin": origin, "selection": selection}
    return dsse.sign(statement.encode(statement.PACK_INDEX, subjects, predicate), key)


def _readme(log: Log, size: int, first_keyring: bytes) -> bytes:
    template = resources.files("evidence").joinpath("pack_readme.md").read_text(encoding="utf-8")
    filled = {
        "@ORIGIN@": log.origin,
        "@SIZE@": str(size),
        "@FINGERPRINT@": keyring.self_asserted_root(first_keyring).fingerprint,
        "@VERIFIER@": hashlib.sha256(verifier()).hexdigest(),
    }
    for mark, value in filled.items():
        template = template.replace(mark, value)
    return template.encode("utf-8")


def _replace(path: Path, members: Members, progress: Callable[[int, int], None] | None) -> str:
    """Write the members as a zip in place of `path` and return its hex SHA-256."""
    make_private_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
            digest = _write(file, members, progress)
        temporary.replace(path)
    except OSError as error:
        raise EvidenceError(f"cannot write the pack {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return digest


def _write(file: BufferedRandom, members: Members, progress: Callable[[int, int], None] | None) -> str:
    writer = PackWriter(file)
    for done, name in enumerate(sorted(members), 1):
        writer.add(name, members[name]())
        if progress is not None:
            progress(done, len(members))
    writer.finish()
    file.flush()
    os.fsync(file.fileno())
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()
