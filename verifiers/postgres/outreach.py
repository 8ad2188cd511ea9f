"""What a dump brings that reaches out of its database, named before any of it runs; and what pg_dump never writes.

Invariant: every statement of a dump is looked at, in whichever layout it comes, and nothing of one is kept but its kind
and the name of the object it makes. Event triggers, foreign servers, subscriptions and functions that read files are
in honest databases too: they are told, and refuse nothing. A statement that pg_dump does not write (DO, COPY … PROGRAM,
ALTER SYSTEM, LOAD, a call of a function) is refused, for whoever wrote it had something in mind. What hides from this
lexer still runs in the sandbox only. No I/O.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from verifiers.postgres.archive_toc import ArchiveError
from verifiers.postgres.plain_scan import Event, Scanner, What

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 5  # names of a kind that are told
_I = re.IGNORECASE
_NAME = (
    rb'(?:"(?:[^"]|"")*"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*)(?:\.(?:"(?:[^"]|"")*"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*))*'
)
_STRING = rb"'(?:[^']|'')*'"
_QUOTED = re.compile(
    rb"\$(?P<tag>(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?)\$.*?(?:\$(?P=tag)\$|\Z)|" + _STRING + rb'|"(?:[^"]|"")*"',
    re.DOTALL,
)
# How statements begin that pg_dump writes, in every version and with every option that drills accept.
_WRITTEN = re.compile(
    rb"(?:SET|RESET|CREATE|ALTER(?!\s+SYSTEM\b)|DROP|COMMENT|SECURITY\s+LABEL|GRANT|REVOKE|INSERT\s+INTO|COPY|BEGIN|COMMIT|"
    rb"START\s+TRANSACTION|REFRESH\s+MATERIALIZED\s+VIEW)\b|"
    rb"SELECT\s+(?:pg_catalog\.)?(?:"
    rb"(?:setval|set_config|lo_create|lo_creat|lo_unlink|lo_close|lowrite)\s*\((?:[\s,\-\w]|E?" + _STRING + rb")*\)|"
    rb"lo_open\s*\((?:[\s,\d]|" + _STRING + rb"|pg_catalog\.lo_create\(" + _STRING + rb"\))*\)|"
    rb"lo_unlink\(oid\) FROM pg_catalog\.pg_largeobject_metadata WHERE oid = '\d+'|"
    rb"CASE WHEN EXISTS\(SELECT 1 FROM pg_catalog\.pg_largeobject_metadata WHERE oid = '\d+'\) "
    rb"THEN pg_catalog\.lo_unlink\('\d+'\) END"
    rb")\s*\Z|"
    rb"SELECT\s+(?:\*\s+FROM\s+)?pg_catalog\.pg_(?:restore|clear)_(?:relation|attribute|extended)_stats\s*\(",
    _I,
)  # fmt: skip
_COPY_OF_ROWS = re.compile(rb"COPY\s+" + _NAME + rb"\s*(?:\((?:[^()']|" + _STRING + rb")*\))?\s*FROM\s+STDIN\s*\Z", _I)
_COPY = re.compile(r"\s*COPY\b", _I)
_EXTENSION = re.compile(rb"CREATE\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?(" + _NAME + rb")", _I)
_ROUTINE = re.compile(rb"CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\s+(" + _NAME + rb")", _I)
_ATOMIC = re.compile(rb"\bBEGIN\s+ATOMIC\b", _I)
_LANGUAGE = re.compile(rb"\bLANGUAGE\s+(" + _NAME + rb"|'\w+')", _I)
_MADE = {
    "event trigger": re.compile(rb"CREATE\s+EVENT\s+TRIGGER\s+(" + _NAME + rb")", _I),
    "subscription": re.compile(rb"CREATE\s+SUBSCRIPTION\s+(" + _NAME + rb")", _I),
    "foreign server": re.compile(rb"CREATE\s+SERVER\s+(" + _NAME + rb")", _I),
}
_ANY = re.compile(
    rb"CREATE\s+(?:OR\s+REPLACE\s+|UNIQUE\s+|CONSTRAINT\s+|MATERIALIZED\s+|UNLOGGED\s+)*"
    rb"(?:VIEW|TABLE|INDEX|TRIGGER|RULE|POLICY|DOMAIN)\s+(" + _NAME + rb")", _I,
)  # fmt: skip
_OUTSIDE = re.compile(
    rb"\b(?:dblink(?:_\w+)?|pg_read_(?:binary_)?file|pg_ls_\w*dir|pg_stat_file|pg_file_\w+|lo_import|lo_export)\s*\(|"
    rb"\b(?:FROM|TO)\s+PROGRAM\b|\bpg_execute_server_program\b", _I,
)  # fmt: skip
# Extensions whose purpose is other servers, files, processes of their own, or a language that may do anything.
_REACHING = frozenset({
    "dblink", "postgres_fdw", "file_fdw", "mysql_fdw", "oracle_fdw", "tds_fdw", "mongo_fdw", "redis_fdw", "multicorn",
    "adminpack", "pg_cron", "pg_net", "http", "pgsql-http", "aws_s3", "aws_lambda", "pg_background", "pg_partman_bgw",
    "plpython3u", "plpython2u", "plpythonu", "plperlu", "pltclu", "pljava", "plsh", "plr", "pg_amqp", "amqp",
})  # fmt: skip
_COMMANDS = frozenset({
    "DO", "LOAD", "CALL", "SELECT", "ALTER SYSTEM", "UPDATE", "DELETE", "TRUNCATE", "EXECUTE", "PREPARE", "WITH",
    "NOTIFY",
    "LISTEN", "VACUUM", "ANALYZE", "CLUSTER", "IMPORT", "REINDEX", "CHECKPOINT", "DECLARE", "FETCH", "LOCK", "MERGE",
    "VALUES", "TABLE", "EXPLAIN", "REASSIGN", "DISCARD", "END", "ABORT", "ROLLBACK",
})  # fmt: skip
_TAME = frozenset({b"sql", b"plpgsql", b"internal", b"plperl", b"pltcl", b"plv8", b"plcoffee", b"plls", b"pllua"})


@dataclass
class Outreach:
    """What was found so far. reaches: objects by kind. refused: statements that pg_dump does not write."""

    reaches: dict[str, Counter[str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    _atomic: bool = False

    def definition(self, desc: str, label: str, text: str) -> None:
        """Take what an entry of an archive brings. Raises ArchiveError for a byte that no dump holds."""
        if desc == "BLOB METADATA":  # numbers of large objects, of which pg_restore makes the statements
            self._refuse("something else than numbers" if re.search(r"[^\s\d]", text) else "", label)
            return
        if _COPY.match(text):  # what pg_restore sends before the rows, alone
            rows = _COPY_OF_ROWS.fullmatch(text.encode("utf-8", "backslashreplace").strip().removesuffix(b";"))
            self._refuse("" if rows else "a COPY that reads something else than rows of the dump", label)
            return
        self._atomic = False
        scanner = Scanner(io.BytesIO(text.encode("utf-8", "backslashreplace")), lambda _: None)
        for event in scanner.events():
            if event.what is What.STATEMENT:
                self._refuse(self.statement(event), label)
        self._refuse("a statement without its end" if scanner.unfinished else "", label)

    def statement(self, event: Event) -> str:
        """Take one statement; return what it is if pg_dump does not write such a one, else nothing."""
        text = event.text
        if self._atomic:  # the body of a function in SQL, statement by statement
            self._atomic = text.upper() != b"END"
            self._outside(text, b"")
            return ""
        if not _WRITTEN.match(text):
            return _beginning(text)
        word = text[:6].upper()
        if word.startswith(b"COPY") and not event.cut and not _COPY_OF_ROWS.fullmatch(text):
            return "a COPY that reads something else than rows of the dump"
        return self._create(text) if word == b"CREATE" else ""

    def check(self) -> None:
        """Raise ArchiveError if anything was refused."""
        if self.refused:
            raise ArchiveError(refusal(self.refused))

    @property
    def told(self) -> dict[str, object]:
        """What a record may hold: how many of each kind, and the names of some."""
        return {
            kind: {"count": len(names), "names": sorted(names)[:_SHOWN]} for kind, names in sorted(self.reaches.items())
        }

    @property
    def said(self) -> str:
        """One sentence for a person; empty if nothing reaches out."""
        if not self.reaches:
            return ""
        parts = [f"{len(names)} {kind} ({_some(names)})" for kind, names in sorted(self.reaches.items())]
        return f"It brings what reaches out of the database when it is used: {', '.join(parts)}."

    def _create(self, text: bytes) -> str:
        for kind, pattern in _MADE.items():
            found = pattern.match(text)
            if found:
                self._reach(kind, found[1])
        extension = _EXTENSION.match(text)
        if extension:
            name = _plain(extension[1])
            if re.search(r"[/\\]|\.\.", name):
                return "a CREATE EXTENSION of a path"
            if name.lower() in _REACHING:
                self._reach("extension", extension[1])
            return ""
        routine = _ROUTINE.match(text)
        if routine:
            bare = _QUOTED.sub(b"''", text[routine.end() :])
            language = _LANGUAGE.search(bare) or _LANGUAGE.search(text, routine.end())
            if language and language[1].strip(b"'\"").lower() not in _TAME:
                self._reach("function of an untrusted language", routine[1])
            self._atomic = bool(_ATOMIC.search(bare))
        made = routine or _ANY.match(text)
        self._outside(text, made[1] if made else b"")
        return ""

    def _outside(self, text: bytes, name: bytes) -> None:
        if _OUTSIDE.search(text):
            self._reach("use of files, programs or other servers", name or b"(unnamed)")

    def _reach(self, kind: str, name: bytes) -> None:
        self.reaches.setdefault(kind, Counter())[_plain(name)] += 1

    def _refuse(self, what: str, label: str) -> None:
        if what and len(self.refused) < _SHOWN:
            self.refused.append(f"{what} at {label}")


def refusal(refused: Iterable[str]) -> str:
    """Return why a dump is not restored, for what pg_dump does not write."""
    return f"it holds {', '.join(refused)}: pg_dump writes no such thing. Nothing of it was run"


def _beginning(text: bytes) -> str:
    """Return the command of a statement, and never more: what follows may be anything."""
    found = re.match(rb"[A-Za-z]+(?:\s+SYSTEM\b)?", text, _I)
    word = found.group().decode("ascii").upper() if found else ""
    return f"the command {word}" if word in _COMMANDS else "a command"


def _plain(name: bytes) -> str:
    text = name.decode("utf-8", "backslashreplace")
    return re.sub(r'"((?:[^"]|"")*)"', lambda found: found[1].replace('""', '"'), text)[:200]


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:_SHOWN]) + (f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")
