"""Faults of pg_dump backups, each in every format it applies to: which check catches it, and that nothing else does.

The numbers are those of the fault matrix, see matrix.py.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyrage
import pytest

from guardian.drills.checklist import CHECKS
from tests.formats_support import CANARY_PASSWORD, LAYOUTS, TABLESPACE, Dumps, Formatted, compress
from verifiers.sandbox.features import knows_restrict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from guardian.model import Drill
    from tests.faults.catching import Caught
    from verifiers.sandbox.isolation import Provider

PLAINS = ("plain", "plain.gz", "plain.zst", "plain.lz4", "plain.age", "plain.gz.age")
AGES = ("plain.age", "plain.gz.age", "custom.age")
EVERY = (*LAYOUTS, "plain.gz", "plain.zst", "plain.lz4", "plain.age", "plain.gz.age", "tar.gz", "custom.age")


@dataclass(frozen=True)
class Fault:
    """One fault. caught: the checks that fail (or are errors), each with a word of its message.

    edit: of the text inside, whatever is around it. bytes_of: of the file as it lies there. options: of pg_dump, for a
    dump of its own. cluster: what befalls the globals that are then beside it.
    """

    number: int
    name: str
    forms: Sequence[str]
    caught: dict[str, str]
    verdict: str = "fail"
    edit: Callable[[bytes], bytes] | None = None
    raw: Callable[[bytes], bytes] | None = None
    options: Sequence[str] = ()
    cluster: Callable[[bytes], bytes] | None = None
    beyond: frozenset[str] = frozenset()  # checks that may fail too, as a consequence


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Return an edit of the same length: lengths in archives stay right."""
    assert len(old) == len(new)
    return lambda data: data.replace(old, new)


def mid_row(data: bytes) -> bytes:
    """Cut in a row of the table `orders`."""
    return data[: data.index(b"\t2562.50\t") + 4] if b"\t2562.50\t" in data else data


def at_statement(data: bytes) -> bytes:
    """Cut behind the rows of `orders`: psql sees nothing wrong with it."""
    at = data.index(b"\n\\.\n", data.index(b"\t2562.50\t")) + 4
    return data[:at]


def half(data: bytes) -> bytes:
    """Cut in the middle."""
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    """Flip one bit in the middle."""
    changed = bytearray(data)
    changed[len(data) // 2] ^= 4
    return bytes(changed)


def empty(_data: bytes) -> bytes:
    """Leave nothing."""
    return b""


def without_role(cluster: bytes) -> bytes:
    """Take one role out of globals, wherever it is named."""
    return b"".join(line for line in cluster.splitlines(keepends=True) if b"rich_owner" not in line)


def without_tablespace(cluster: bytes) -> bytes:
    """Take the tablespace out of globals."""
    return b"".join(line for line in cluster.splitlines(keepends=True) if TABLESPACE.encode() not in line)


def hostile(data: bytes) -> bytes:
    """Plant a shell command of psql between two statements."""
    return data.replace(b"\nSET lock_timeout", b"\n\\! cat /etc/shadow\nSET lock_timeout", 1)


REFRESH = b"REFRESH MATERIALIZED VIEW app.mv;"
COMPLETE = {"archive.complete": ""}
CUT = {"archive.complete": "cut"}
EXPECTED = [
    Fault(1, "cut mid-row", (*PLAINS, "directory"), CUT, edit=mid_row),
    Fault(2, "cut at a statement", PLAINS, CUT, edit=at_statement),
    Fault(3, "wrapping cut", ("plain.gz", "plain.zst", "plain.lz4", "tar.gz"), CUT, raw=half),
    Fault(3, "encryption cut", AGES, {"archive.complete": "too early"}, raw=half),
    Fault(4, "archive cut", ("custom", "tar"), CUT, raw=half),
    Fault(4, "toc cut", ("directory",), CUT, raw=half),
    Fault(
        5, "one digit changed", ("plain", "plain.gz", "plain.gz.age"), {"content.hashes": "public.orders"},
        edit=replaced(b"\t2562.50\t", b"\t2562.51\t"),
    ),
    Fault(
        6, "one digit changed", ("custom", "directory", "tar", "tar.gz"), {"content.hashes": "public.orders"},
        edit=replaced(b"\t2562.50\t", b"\t2562.51\t"),
    ),
    Fault(7, "bit flipped", ("plain.gz", "plain.zst", "plain.lz4", "tar.gz", *AGES), COMPLETE, raw=flipped),
    Fault(8, "zero bytes", EVERY, {"archive.complete": "0 bytes"}, raw=empty),
    Fault(10, "role missing", LAYOUTS, {"restore.messages": "rich_owner"}, cluster=without_role,
          beyond=frozenset({"catalog.diff"})),
    Fault(14, "extension missing", LAYOUTS, {"server.started": "hstorf"}, "error",
          edit=lambda data: data.replace(b"EXTENSION IF NOT EXISTS hstore", b"EXTENSION IF NOT EXISTS hstorf")
          .replace(b"hstore\0\x09\0\0\0EXTENSION", b"hstorf\0\x09\0\0\0EXTENSION")),
    Fault(15, "tablespace missing", LAYOUTS, {"restore.messages": "tablespace"}, cluster=without_tablespace,
          beyond=frozenset({"catalog.diff"})),
    Fault(16, "newer server", LAYOUTS, {"server.started": "PostgreSQL 39"}, "error",
          edit=lambda data: re.sub(rb"18(\.\d+)", rb"39\1", data)),
    Fault(18, "shell command", PLAINS, {"archive.complete": r"\\! in line"}, edit=hostile),
    Fault(18, "code in an entry", ("custom", "directory", "tar"), {"archive.complete": "the command DO at"},
          edit=replaced(REFRESH, b"DO $$BEGIN PERFORM 1; END$$;".ljust(len(REFRESH)))),
    Fault(32, "sequence behind", LAYOUTS, {"sequences": "public.orders_seq"},
          edit=replaced(b"setval('public.orders_seq', 500", b"setval('public.orders_seq', 400")),
    Fault(33, "view not populated", LAYOUTS, {"materialized-views": "app.mv"},
          edit=replaced(REFRESH, b"SET app.nothing_is_refreshed = 1;")),
    Fault(34, "no large objects", LAYOUTS, {"large-objects": ""}, options=("--no-large-objects",),
          beyond=frozenset({"catalog.diff"})),
    Fault(35, "data only", LAYOUTS, {"restore.messages": "does not exist"}, options=("--data-only",),
          beyond=frozenset({"catalog.diff", "content.rows", "content.hashes", "sequences", "materialized-views",
                            "extensions", "indexes", "large-objects", "identity"})),
]  # fmt: skip
CASES = [(fault, form) for fault in EXPECTED for form in fault.forms]


def inside(dumps: Dumps, form: str, edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return a change of a backup at its place that edits what is inside."""

    def change(path: Path) -> None:
        if path.is_dir():
            for file in path.iterdir():
                packed = file.suffix == ".gz"
                data = gzip.decompress(file.read_bytes()) if packed else file.read_bytes()
                changed = edit(data)
                if changed != data:
                    file.write_bytes(gzip.compress(changed) if packed else changed)
            return
        layout, *around = form.split(".")
        before = dumps.path(layout).read_bytes()
        data = edit(before)
        assert data != before, "the fault was injected"
        for wrapping in around:
            key = dumps.key.to_public()
            data = pyrage.encrypt(data, [key]) if wrapping == "age" else compress(data, f".{wrapping}")
        path.write_bytes(data)

    return change


def as_it_lies(raw: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return a change of a backup's bytes; of a folder, those of its contents."""

    def change(path: Path) -> None:
        file = path / "toc.dat" if path.is_dir() else path
        file.write_bytes(raw(file.read_bytes()))

    return change


def dumped(dumps: Dumps, form: str, options: Sequence[str]) -> Callable[[Path], None]:
    """Return a change that makes the dump anew with other options."""

    def change(path: Path) -> None:
        if path.is_dir():
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        letter = {"custom": "c", "directory": "d", "tar": "t", "plain": "p"}[form]
        argv = [
            str(dumps.server.programs.program("pg_dump")),
            f"-F{letter}",
            *options,
            "-f",
            str(path),
            "-d",
            dumps.url,
        ]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)

    return change


def drilled(dumps: Dumps, provider: str, folder: Path, fault: Fault, form: str) -> Drill:
    backup = Formatted(dumps, form, folder, provider, age=str(dumps.key))
    cluster = fault.cluster(dumps.cluster) if fault.cluster else None
    if fault.edit is not None:
        change = inside(dumps, form, fault.edit)
    elif fault.raw is not None:
        change = as_it_lies(fault.raw)
    elif fault.options:
        change = dumped(dumps, form, fault.options)
    else:
        change = lambda _path: None  # noqa: E731 -- the fault is in the globals
    # The manifest is of the file as it became, so that its digest is right and tells nothing.
    return backup.take(change=change, cluster=cluster, exact=False).drill()


@pytest.mark.parametrize(
    ("fault", "form"), CASES, ids=lambda value: value if isinstance(value, str) else f"{value.number}-{value.name}"
)
def test_fault_is_caught(
    dumps: Dumps, sandbox_provider: Provider, tmp_path: Path, caught: Caught, fault: Fault, form: str
) -> None:
    drill = drilled(dumps, sandbox_provider.name, tmp_path, fault, form)
    # Where the sandbox lacks something, what follows from that is judged with it.
    beyond = fault.beyond if fault.verdict == "fail" else frozenset(CHECKS)
    caught(fault.number, form, drill, by=fault.caught, verdict=fault.verdict, beyond=beyond)


@pytest.mark.parametrize("form", ["plain.age", "plain.gz.age", "custom.age"])
@pytest.mark.parametrize("key", ["another", "none", "unusable"])
def test_36_backup_whose_key_is_lost_is_an_error_and_never_a_failure(
    dumps: Dumps, sandbox_provider: Provider, tmp_path: Path, caught: Caught, form: str, key: str
) -> None:
    age = {"another": str(pyrage.x25519.Identity.generate()), "none": None, "unusable": "AGE-SECRET-KEY-1NONSENSE"}[key]
    drill = Formatted(dumps, form, tmp_path, sandbox_provider.name, age=age).take().drill()
    says = {"another": "it was encrypted for another one", "none": "add `decrypt:", "unusable": "no usable key"}[key]
    caught(36, form, drill, by="archive.complete", says=says, verdict="error")
    assert "NONSENSE" not in json.dumps(drill.to_json()), "nothing of a key is told"


def test_17_psql_that_does_not_know_restrict_is_told_by_its_version(
    dumps: Dumps, sandbox_provider: Provider, tmp_path: Path, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"18.6", "17.6", "17.10", "16.10", "15.14", "14.19", "13.22", "19beta1"}
    assert {version for version in known if not knows_restrict(version)} == set()
    assert not [version for version in ("17.5", "16.9", "15.13", "14.18", "13.21", "12.22") if knows_restrict(version)]
    # No such psql is to be had any more; the rule above is what this stands for.
    monkeypatch.setattr("verifiers.sandbox.features.knows_restrict", lambda _version: False)
    drill = Formatted(dumps, "plain", tmp_path, sandbox_provider.name).take().drill()
    caught(17, "plain", drill, by="server.started", says="restrict", verdict="error")


def test_18_code_in_a_plain_dump_is_not_even_run(
    dumps: Dumps, sandbox_provider: Provider, tmp_path: Path, caught: Caught
) -> None:
    secret = tmp_path / "guardian.yaml"
    secret.write_text(CANARY_PASSWORD)
    code = f"DO $do$ BEGIN COPY public.orders (note) FROM PROGRAM 'cat {secret}'; END $do$;\n"

    def plant(path: Path) -> None:
        data = path.read_bytes()
        at = data.index(b"\n--\n-- PostgreSQL database dump complete")
        path.write_bytes(data[:at] + b"\n" + code.encode() + data[at:])

    drill = Formatted(dumps, "plain", tmp_path, sandbox_provider.name).take(change=plant, exact=False).drill()
    caught(18, "plain", drill, by="archive.complete", says="the command DO in line")
    assert CANARY_PASSWORD not in repr(drill)
