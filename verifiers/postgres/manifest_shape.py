"""The shape of a database's manifest, to and from JSON. No I/O.

Invariant: what `from_json` accepts has every field, no other, each of its type and range; nothing half-read gets in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from verifiers.errors import VerifierError
from verifiers.postgres.snapshot import SequenceState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Item = TypeVar("Item")

_INTEGER = re.compile(r"-?\d{1,40}")
_HEX = re.compile(r"[0-9a-f]{8,64}")
_LSN = r"[0-9A-F]{1,8}/[0-9A-F]{1,8}"


class ManifestError(VerifierError):
    """A manifest is malformed, or could not be captured."""


@dataclass(frozen=True, slots=True)
class TableContent:
    """Rows and content hash of one table (or materialized view).

    hash: sum of 64-bit row hashes, in decimal; None when keyed. keyed: hex HMAC-SHA-256 instead, for fewer than 100
    rows. sample: hex HMAC-SHA-256 over SHA-256 of a keyed choice of rows. Without a key, keyed and sample are None.
    """

    rows: int
    hash: str | None
    keyed: str | None
    sample: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Which database this is. system_identifier: None without the privilege to read it; dbuuid: Odoo's, else None."""

    database: str
    system_identifier: str | None
    encoding: str
    collate: str
    ctype: str
    locale_provider: str
    dbuuid: str | None
    server_version: int


@dataclass(frozen=True, slots=True)
class LargeObjects:
    """Count, bytes and content hash of all large objects; bytes and hash are None where they may not be read."""

    count: int
    bytes: int | None
    hash: str | None


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """The place in the write-ahead log at which a cluster holds exactly the content of a manifest.

    name: given to pg_create_restore_point. lsn: where its record ends (`0/16B3748`). timeline: on which it was written.
    """

    name: str
    lsn: str
    timeline: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that goes into the joint manifest."""
        return {"name": self.name, "lsn": self.lsn, "timeline": self.timeline}

    @classmethod
    def from_json(cls, value: object) -> RestorePoint:
        """Read the JSON value back. Raises ManifestError."""
        fields = Fields(value, "manifest.recovery")
        # Its name is written into the settings of a server that recovers to it: nothing but plain letters.
        point = cls(fields.text("name", r"[A-Za-z0-9_-]{1,63}"), fields.text("lsn", _LSN), fields.number("timeline"))
        fields.done()
        return point


@dataclass(frozen=True, slots=True)
class PostgresManifest:
    """Everything captured of one database. Names are quoted and qualified, as SQL would write them.

    method: how rows were hashed (`record`, or `text` before PostgreSQL 14). key_id: tells two keys apart, None without
    a key. excluded: tables not hashed, with the reason. materialized_views: None where not populated. collations: with
    their versions, None where the provider has none. roles: owners and grantees with their attributes (`login`, ...).
    catalog: object -> hex digest of its normalised definition. definitions: object -> that of its exact SQL texts.
    catalog_version: how the two were made.
    """

    method: str
    key_id: str | None
    taken_at: str
    lsn: str
    identity: Identity
    tables: Mapping[str, TableContent]
    excluded: Mapping[str, str]
    materialized_views: Mapping[str, TableContent | None]
    sequences: Mapping[str, SequenceState]
    large_objects: LargeObjects
    extensions: Mapping[str, str]
    collations: Mapping[str, str | None]
    roles: Mapping[str, Sequence[str]]
    catalog: Mapping[str, str] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)
    catalog_version: int = 0

    @property
    def rows(self) -> int:
        """Rows of all hashed tables."""
        return sum(table.rows for table in self.tables.values())

    @property
    def major(self) -> int:
        """Major version of the server, 18."""
        return self.identity.server_version // 10000

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that goes into the joint manifest."""
        identity = self.identity
        return {
            "method": self.method,
            "keyId": self.key_id,
            "takenAt": self.taken_at,
            "lsn": self.lsn,
            "identity": {
                "database": identity.database,
                "systemIdentifier": identity.system_identifier,
                "encoding": identity.encoding,
                "collate": identity.collate,
                "ctype": identity.ctype,
                "localeProvider": identity.locale_provider,
                "dbuuid": identity.dbuuid,
                "serverVersion": identity.server_version,
            },
            "tables": {name: _table_json(table) for name, table in self.tables.items()},
            "excluded": dict(self.excluded),
            "materializedViews": {
                name: None if view is None else _table_json(view) for name, view in self.materialized_views.items()
            },
            "sequences": {
                name: [state.last_value, state.is_called, state.increment, state.cycles]
                for name, state in self.sequences.items()
            },
            "largeObjects": {
                "count": self.large_objects.count,
                "bytes": self.large_objects.bytes,
                "hash": self.large_objects.hash,
            },
            "extensions": dict(self.extensions),
            "collations": dict(self.collations),
            "roles": {name: list(attributes) for name, attributes in self.roles.items()},
            "catalog": dict(self.catalog),
            "definitions": dict(self.definitions),
            "catalogVersion": self.catalog_version,
        }

    @classmethod
    def from_json(cls, value: object) -> PostgresManifest:
        """Read the JSON value back. Raises ManifestError naming the field that is missing, unknown or wrong."""
        root = Fields(value, "postgres")
        identity = Fields(root.take("identity"), "postgres.identity")
        large = Fields(root.take("largeObjects"), "postgres.largeObjects")
        manifest = cls(
            method=root.text("method", "record|text"),
            key_id=root.text_or_none("keyId", _HEX.pattern),
            taken_at=root.text("takenAt"),
            lsn=root.text("lsn", _LSN),
            identity=Identity(
                database=identity.text("database"),
                system_identifier=identity.text_or_none("systemIdentifier", r"\d+"),
                encoding=identity.text("encoding"),
                collate=identity.text("collate"),
                ctype=identity.text("ctype"),
                locale_provider=identity.text("localeProvider"),
                dbuuid=identity.text_or_none("dbuuid"),
                server_version=identity.number("serverVersion"),
            ),
            tables=root.mapping("tables", _table),
            excluded=root.mapping("excluded", _text),
            materialized_views=root.mapping("materializedViews", lambda item: None if item is None else _table(item)),
            sequences=root.mapping("sequences", _sequence),
            large_objects=LargeObjects(
                large.number("count"),
                large.number_or_none("bytes"),
                large.text_or_none("hash", _INTEGER.pattern),
            ),
            extensions=root.mapping("extensions", _text),
            collations=root.mapping("collations", lambda item: None if item is None else _text(item)),
            roles=root.mapping("roles", lambda item: [_text(part) for part in _list(item)]),
            catalog=root.mapping("catalog", lambda item: _text(item, _HEX.pattern)),
            definitions=root.mapping("definitions", lambda item: _text(item, _HEX.pattern)),
            catalog_version=root.number("catalogVersion"),
        )
        for fields in (root, identity, large):
            fields.done()
        return manifest


class Fields:
    """One JSON object being read: every field is taken once, and `done` refuses what is left."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise ManifestError(f"manifest: {where} must be an object, found {type(value).__name__}")
        self._left, self._where = dict(value), where

    def take(self, name: str) -> object:
        """Return a field as it is."""
        if name not in self._left:
            raise ManifestError(f"manifest: {self._where}.{name} is missing")
        return self._left.pop(name)

    def text(self, name: str, pattern: str | None = None) -> str:
        """Return a string, matching pattern as a whole."""
        return self._at(name, lambda value: _text(value, pattern))

    def text_or_none(self, name: str, pattern: str | None = None) -> str | None:
        """Return a string or None."""
        return self._at(name, lambda value: None if value is None else _text(value, pattern))

    def number(self, name: str) -> int:
        """Return an integer of at least 0."""
        return self._at(name, _number)

    def number_or_none(self, name: str) -> int | None:
        """Return an integer of at least 0, or None."""
        return self._at(name, lambda value: None if value is None else _number(value))

    def mapping(self, name: str, read: Callable[[object], Item]) -> dict[str, Item]:
        """Return an object of like things, each read by `read`."""
        value = self.take(name)
        if not isinstance(value, dict):
            raise ManifestError(f"manifest: {self._where}.{name} must be an object")
        items = {}
        for key, item in value.items():
            try:
                items[key] = read(item)
            except (ValueError, ManifestError) as error:
                raise ManifestError(f"manifest: {self._where}.{name}.{key} is malformed: {error}") from error
        return items

    def done(self) -> None:
        """Raise ManifestError if a field was not taken."""
        if self._left:
            raise ManifestError(f"manifest: {self._where} has unknown fields: {', '.join(sorted(self._left))}")

    def _at(self, name: str, read: Callable[[object], Item]) -> Item:
        value = self.take(name)
        try:
            return read(value)
        except ValueError as error:
            raise ManifestError(f"manifest: {self._where}.{name}: {error}") from error


def _table_json(table: TableContent) -> dict[str, Any]:
    content = {"hash": table.hash, "keyed": table.keyed, "sample": table.sample}
    return {"rows": table.rows, **{name: value for name, value in content.items() if value is not None}}


def _table(value: object) -> TableContent:
    fields = Fields(
        {"hash": None, "keyed": None, "sample": None, **value} if isinstance(value, dict) else value, "table"
    )
    table = TableContent(
        fields.number("rows"),
        fields.text_or_none("hash", _INTEGER.pattern),
        fields.text_or_none("keyed", _HEX.pattern),
        fields.text_or_none("sample", _HEX.pattern),
    )
    fields.done()
    if table.hash is not None and table.keyed is not None:
        raise ValueError("has both hash and keyed")
    return table


def _sequence(value: object) -> SequenceState:
    match value:
        case [int() as last, bool() as called, int() as increment, bool() as cycles] if bool not in {
            type(last),
            type(increment),
        }:
            return SequenceState(last, called, increment, cycles)
        case _:
            raise ValueError("must be [last value, called, increment, cycles]")


def _text(value: object, pattern: str | None = None) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, found {type(value).__name__}")  # noqa: TRY004 -- one error for all
    if pattern is not None and not re.fullmatch(pattern, value):
        raise ValueError(f"must match {pattern}")
    return value


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("must be an integer of at least 0")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("must be a list")  # noqa: TRY004 -- one error for all
    return value
