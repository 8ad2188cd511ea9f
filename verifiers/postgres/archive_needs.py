"""What a server must have before an archive can be restored, read from the archive's table of contents.

Invariant: only names are taken out of statements, never text. A statement not understood adds nothing: the restore
itself then says what is missing. No I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from verifiers.postgres.sqltext import identifier, literal, names_in_list, statements

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIST_END = frozenset({"WITH", "GRANTED", "USING", "IN", "GRANT", "REVOKE", "CASCADE", "RESTRICT", "SERVER"})
_BUILT_IN_LANGUAGES = frozenset({"internal", "c", "sql", "plpgsql"})
_LANGUAGE = re.compile(r'^\s+(?:TRANSFORM .*)?LANGUAGE ("(?:[^"]|"")+"|\w+)', re.MULTILINE)
_NO_ROLES = frozenset({"public", "current_user", "session_user", "current_role"})


@dataclass(frozen=True, slots=True)
class Needs:
    """What a server must have before the archive can be restored. Names, sorted.

    server_major: major version that was dumped (18), None if the header does not tell. icu: a collation or the database
    uses ICU. encoding: `UTF8`. locale: of the provider, for libc its LC_COLLATE. ctype: LC_CTYPE.
    """

    extensions: Sequence[str]
    roles: Sequence[str]
    tablespaces: Sequence[str]
    languages: Sequence[str]
    access_methods: Sequence[str]
    encoding: str | None
    locale_provider: str | None
    locale: str | None
    ctype: str | None
    icu: bool
    server_major: int | None


class NeedsCollector:
    """Gathers needs entry by entry, so that no definition has to be kept. server_version: as the header has it."""

    def __init__(self, server_version: str | None) -> None:
        found = re.match(r"\d+", server_version or "")
        self._major = int(found.group()) if found else None
        self._names: dict[str, set[str]] = {
            kind: set() for kind in ("extensions", "roles", "tablespaces", "languages", "access_methods")
        }
        self._database: dict[str, str] = {}
        self._encoding: str | None = None
        self._icu = False

    def add(
        self, desc: str, tag: str, owner: str | None, tablespace: str | None, method: str | None, definition: str
    ) -> None:
        """Take one entry into account."""
        if desc == "ENCODING":
            self._encoding = encoding_of(definition)
        if desc == "DATABASE":
            self._database = _options(definition)
        if desc.startswith("DATABASE") or (desc == "ACL" and tag.startswith("DATABASE ")):
            return  # restored only with --create, which a drill does not use
        method = None if method == "heap" else method
        for kind, name in (("roles", owner), ("tablespaces", tablespace), ("access_methods", method)):
            self._names[kind].update([name] if name and not name.startswith("pg_") else [])
        if desc == "EXTENSION":
            self._names["extensions"].add(tag)
        elif desc in {"FUNCTION", "PROCEDURE"}:
            used = {identifier(found.group(1)) for found in [_LANGUAGE.search(definition)] if found}
            self._names["languages"] |= used - _BUILT_IN_LANGUAGES
        elif desc == "COLLATION":
            self._icu |= bool(re.search(r"provider\s*=\s*'?icu", definition, re.IGNORECASE))
        elif desc in {"ACL", "DEFAULT ACL", "POLICY", "USER MAPPING"}:
            for statement in statements(definition):
                self._names["roles"].update(_roles(statement))

    def result(self) -> Needs:
        """Return everything gathered."""
        provider = self._database.get("LOCALE_PROVIDER", "libc" if self._database else None)
        named = [self._database.get(name) for name in ("ICU_LOCALE", "BUILTIN_LOCALE", "LOCALE", "LC_COLLATE")]
        locale = next((name for name in named if name), None)
        return Needs(
            **{kind: sorted(names) for kind, names in self._names.items()},
            encoding=self._database.get("ENCODING") or self._encoding,
            locale_provider=provider,
            locale=locale,
            ctype=self._database.get("LC_CTYPE") or self._database.get("LOCALE"),
            icu=self._icu or provider == "icu",
            server_major=self._major,
        )


def encoding_of(definition: str) -> str | None:
    """Return what an ENCODING entry sets, `LATIN1` of `SET client_encoding = 'LATIN1';`, or None."""
    last = next((words[-1] for words in statements(definition)), "")
    return literal(last) if last.endswith("'") else None


def _options(definition: str) -> dict[str, str]:
    """Return `NAME = value` pairs of a CREATE DATABASE."""
    pairs: dict[str, str] = {}
    for statement in statements(definition):
        for index, item in enumerate(statement):
            if item == "=" and 0 < index < len(statement) - 1:
                value = statement[index + 1]
                pairs[statement[index - 1].upper()] = literal(value) if value.endswith("'") else identifier(value)
    return pairs


def _roles(statement: Sequence[str]) -> set[str]:
    """Return the roles that a GRANT, REVOKE, policy or user mapping names."""
    words = [item.upper() for item in statement]
    if words[:3] == ["SET", "SESSION", "AUTHORIZATION"]:
        return {identifier(item) for item in statement[3:4] if item.upper() != "DEFAULT"}
    starts: list[int] = []  # where a list of roles begins
    if words[0] in {"GRANT", "REVOKE", "ALTER"}:
        starts += [index + 1 for index, word in enumerate(words) if word in {"TO", "FROM"}][-1:]
    elif words[:2] == ["CREATE", "POLICY"]:
        starts += [index + 1 for index, word in enumerate(words) if word == "TO"][:1]
    pairs = {("FOR", "ROLE"), ("FOR", "USER"), ("MAPPING", "FOR")}
    starts += [index + 2 for index, pair in enumerate(pairwise(words)) if pair in pairs]
    found = {name for start in starts for name in names_in_list(statement[start:], _LIST_END)}
    # An unquoted PUBLIC is everybody; a role of that name cannot exist. Predefined roles come with the server.
    return {name for name in found if name not in _NO_ROLES and not name.startswith("pg_")}
