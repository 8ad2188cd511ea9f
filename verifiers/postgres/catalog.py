"""The catalogue as digests: one for each object, over facts that survive dump and restore and a newer server.

Invariant: a definition that means the same gives the same digest on every major version and after every restore; what
may rightly change (object identifiers, tablespaces, spelling of expressions) is not part of it. That form cannot tell
all expressions apart, so their exact texts have digests of their own, for servers of one major version. The queries are
in `catalog.sql`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import orjson

from verifiers.postgres.sqltext import exact, normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import psycopg

_SECTION = re.compile(r"^-- object: (?P<kind>[a-z ]+?)(?: @(?P<majors>\S+))?$", re.MULTILINE)
_MAJORS = re.compile(r"^(?P<code>.*?)\s*-- @(?P<majors>\S+)$")
_MACRO = re.compile(r"\{(user|own|acl) ([^{}]+)\}")
VERSION = 2  # of the queries and spellings: only digests of one version can be compared
_DIGEST_CHARACTERS = 32  # 128 bits: an object's change cannot go unnoticed by chance


@dataclass(frozen=True, slots=True)
class Section:
    """One query of catalog.sql, for one major version."""

    kind: str
    query: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Digests by `kind name`. objects: in a form that all majors share. definitions: of SQL texts, exact."""

    objects: dict[str, str]
    definitions: dict[str, str]


def digests(connection: psycopg.Connection[Any]) -> Catalogue:
    """Return the digests of every object of the user's. Raises psycopg.Error."""
    major = connection.info.server_version // 10000
    found = Catalogue({}, {})
    for section in sections(major):
        for name, facts in _objects(connection, section):
            found.objects[f"{section.kind} {name}"] = _digest(facts, normalise)
            texts = {fact: value for fact, value in facts.items() if fact.startswith("sql_") and value is not None}
            if texts:
                found.definitions[f"{section.kind} {name}"] = _digest(texts, exact)
    return found


@cache
def sections(major: int) -> Sequence[Section]:
    """Return the queries for a major version of PostgreSQL."""
    text = resources.files(__package__).joinpath("catalog.sql").read_text(encoding="utf-8")
    heads = list(_SECTION.finditer(text))
    result = []
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        if _applies(head["majors"], major):
            body = text[head.end() : after.start() if after else None]
            result.append(Section(head["kind"], "\n".join(_lines(body, major))))
    return result


def _lines(body: str, major: int) -> Iterator[str]:
    for line in body.splitlines():
        found = _MAJORS.match(line)
        if found and not _applies(found["majors"], major):
            continue
        yield _MACRO.sub(_expand, found["code"] if found else line)


def _applies(majors: str | None, major: int) -> bool:
    """Whether `14+` or `12-14` (None: every version) holds for a major version."""
    if majors is None:
        return True
    oldest, _, newest = majors.replace("+", "-99").partition("-")
    return int(oldest) <= major <= int(newest)


def _expand(macro: re.Match[str]) -> str:
    name, arguments = macro[1], macro[2].split()
    if name == "user":
        [n] = arguments
        return f"({n}.nspname !~ '^pg_' AND {n}.nspname <> 'information_schema')"
    if name == "own":
        catalog, oid = arguments
        return (
            # The schema public is built in, and yet the user's.
            f"(coalesce({oid}, 0) NOT BETWEEN 1 AND 16383 OR '{catalog}' = 'pg_namespace')"
            f" AND NOT EXISTS (SELECT FROM pg_depend own WHERE own.classid = '{catalog}'::regclass"
            f" AND own.objid = {oid} AND own.deptype = 'e')"
        )
    kind, acl, owner = arguments
    kind = f"""'{kind}'::"char\"""" if len(kind) == 1 else kind
    # language=SQL; quoting a role's name keeps one called "public" apart from everybody.
    grantee = "CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END"
    option = "CASE WHEN x.is_grantable THEN 'WITH GRANT OPTION' END"
    text = f"""concat_ws(' ', {grantee}, x.privilege_type, {option}) COLLATE "C\""""
    return (
        f"(SELECT array_agg({text} ORDER BY {text}) "  # noqa: S608 -- assembled from catalog.sql alone
        f"FROM aclexplode(coalesce({acl}::aclitem[], acldefault({kind}, {owner}))) x"
        " WHERE x.privilege_type <> 'MAINTAIN')"
    )


def _objects(connection: psycopg.Connection[Any], section: Section) -> Iterator[tuple[str, dict[str, Any]]]:
    with connection.cursor() as cursor:
        cursor.execute(section.query.encode())
        fields = [column.name for column in cursor.description or ()]
        for row in cursor:
            facts = dict(zip(fields, row, strict=True))
            yield str(facts.pop("name")), facts


def _digest(facts: Mapping[str, Any], spelling: Callable[[str], str]) -> str:
    """Digest an object's facts. Nulls are left out, so that a fact that older servers do not know changes nothing."""
    canonical: dict[str, Any] = {}
    for name, value in facts.items():
        if value is None:
            continue
        if name.startswith("sql_"):
            canonical[name] = spelling(value)
        elif name.startswith("set_"):
            canonical[name] = sorted(value)
        else:
            canonical[name] = value
    data = orjson.dumps(canonical, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(data).hexdigest()[:_DIGEST_CHARACTERS]
