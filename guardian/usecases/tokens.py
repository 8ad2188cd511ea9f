"""Bearer tokens of the evidence API: made, listed, revoked, and recognised.

Invariants: a token is 256 random bits, told once to whoever makes it; the database has its SHA-256 only. One that is
revoked or has ended is nobody's. A name is never used twice, so that what access records name stays one thing.
I/O: the database.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.exc import IntegrityError

from evidence.statement import new_record_id
from guardian.errors import UsageError
from guardian.model import rfc3339
from guardian.store import tokens as rows
from guardian.store.database import Database
from guardian.store.tables import TokenRow
from guardian.usecases.ledger import actor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardian.settings import Settings

ROLES: Final = ("auditor", "operator", "approver", "admin")
LIFETIME_S: Final = 90 * 86_400
LONGEST_S: Final = 5 * 366 * 86_400
_TOKEN: Final = re.compile(r"gdn_[A-Za-z0-9_-]{43}")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?")
_USED_S: Final = 60  # how exactly the last use is kept


@dataclass(frozen=True, slots=True)
class Added:
    """A token that was made. token: shown once, kept nowhere."""

    token: str
    id: str
    name: str
    role: str
    expires_at: str


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose token it is, and what it may read. services: None for all; since, until: RFC 3339, None for open."""

    id: str
    name: str
    role: str
    services: frozenset[str] | None
    since: str | None
    until: str | None
    expires_at: str


def add(
    settings: Settings,
    name: str,
    role: str,
    *,
    services: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    lifetime_s: int = LIFETIME_S,
) -> Added:
    """Make a token for `role`. services: names it is limited to, none for all. since, until: the period it may read.

    Raises UsageError if the name was used before, or a service, role, period or lifetime does not exist.
    """
    _refuse_wrong(settings, name, role, services, since, until, lifetime_s)
    token = f"gdn_{secrets.token_urlsafe(32)}"
    with Database(settings) as database:
        database.migrate()
        now = database.now()
        row = TokenRow(
            id=new_record_id(),
            name=name,
            hash=digest_of(token),
            role=role,
            services=json.dumps(sorted(set(services)) or None),
            since=rfc3339(since) if since else None,
            until=rfc3339(until) if until else None,
            created_at=rfc3339(now),
            created_by=actor(),
            expires_at=rfc3339(now + timedelta(seconds=lifetime_s)),
        )
        added = Added(token, row.id, name, role, row.expires_at)
        with database.writing() as session:
            if rows.by_name_or_id(session, name) is not None:
                raise UsageError(_USED.format(name=name))
            session.add(row)
            try:
                session.flush()
            except IntegrityError as error:
                raise UsageError(_USED.format(name=name)) from error
    return added


_USED: Final = "a token named {name!r} was made before; a name is used once, so take another, such as {name}-2"


def prepare(settings: Settings) -> None:
    """Bring the tables that the API needs to this version's form. Raises UsageError where there is no environment."""
    with Database(settings) as database:
        database.migrate()


def listed(settings: Settings) -> list[dict[str, Any]]:
    """Return `{id, name, role, services, since, until, createdAt, createdBy, expiresAt, revokedAt, lastUsedAt, state}`
    of each token; state: `active`, `expired` or `revoked`.
    """
    with Database(settings) as database:
        database.migrate()
        now = rfc3339(database.now())
        with database.reading() as session:
            return [_shown(row, now) for row in rows.listed(session)]


def revoke(settings: Settings, name_or_id: str) -> str:
    """End a token now, and return its name; one that is revoked stays as it is. Raises UsageError if there is none."""
    with Database(settings) as database:
        database.migrate()
        now = rfc3339(database.now())
        with database.writing() as session:
            row = rows.by_name_or_id(session, name_or_id)
            if row is None:
                raise UsageError(f"there is no token {name_or_id!r}; `guardian token list` shows them")
            row.revoked_at = row.revoked_at or now
            session.add(row)
            return row.name


def check(database: Database, token: str, now: datetime) -> TokenRow | None:
    """Return the row of `token` if it may be used at `now`, else None."""
    if not well_formed(token):
        return None
    digest = digest_of(token)
    with database.reading() as session:
        row = rows.by_hash(session, digest)
    if row is None or not hmac.compare_digest(row.hash, digest) or not _active(row, rfc3339(now)):
        return None
    return row


def check_id(database: Database, token_id: str, now: datetime) -> TokenRow | None:
    """Return the row of the token with this id if it may still be used at `now`, else None."""
    with database.reading() as session:
        row = rows.by_id(session, token_id)
    return row if row is not None and _active(row, rfc3339(now)) else None


def well_formed(token: str) -> bool:
    """Whether it looks like a token at all."""
    return _TOKEN.fullmatch(token) is not None


def digest_of(token: str) -> str:
    """Return the hex SHA-256 under which a token is kept. No salt or stretching: it is 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


class Book:
    """The tokens, as a server asks for them: on each request anew, so that what is revoked ends at once."""

    def __init__(self, settings: Settings) -> None:
        self._database = Database(settings)

    def close(self) -> None:
        """Release the database."""
        self._database.close()

    def holder(self, token: str) -> Holder | None:
        """Return whose token it is, None if it is nobody's, or no longer."""
        row = check(self._database, token, self._database.now()) if well_formed(token) else None
        return None if row is None else self._seen(row)

    def holder_of(self, token_id: str) -> Holder | None:
        """Return the holder of the token with this id, None if it may no longer be used."""
        row = check_id(self._database, token_id, self._database.now())
        return None if row is None else self._seen(row)

    def _seen(self, row: TokenRow) -> Holder:
        now = datetime.now(UTC)
        if row.last_used_at is None or row.last_used_at < rfc3339(now - timedelta(seconds=_USED_S)):
            with self._database.writing() as session:
                kept = rows.by_id(session, row.id)
                if kept is not None:
                    kept.last_used_at = rfc3339(now)
                    session.add(kept)
        return holder_of_row(row)


def holder_of_row(row: TokenRow) -> Holder:
    """Return the holder that a row describes."""
    services = json.loads(row.services)
    return Holder(
        row.id,
        row.name,
        row.role,
        None if services is None else frozenset(services),
        row.since,
        row.until,
        row.expires_at,
    )


def _active(row: TokenRow, now: str) -> bool:
    return row.revoked_at is None and now < row.expires_at


def _shown(row: TokenRow, now: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "role": row.role,
        "services": json.loads(row.services),
        "since": row.since,
        "until": row.until,
        "createdAt": row.created_at,
        "createdBy": row.created_by,
        "expiresAt": row.expires_at,
        "revokedAt": row.revoked_at,
        "lastUsedAt": row.last_used_at,
        "state": "revoked" if row.revoked_at else "active" if _active(row, now) else "expired",
    }


def _refuse_wrong(
    settings: Settings,
    name: str,
    role: str,
    services: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    lifetime_s: int,
) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a token: letters, digits and ._@- inside, at most 64")
    if role not in ROLES:
        raise UsageError(f"{role!r} is no role; there are {', '.join(ROLES)}")
    known = {service.name for service in settings.services}
    if unknown := sorted(set(services) - known):
        raise UsageError(
            f"{settings.path} has no service {unknown[0]!r}; it has {', '.join(sorted(known)) or 'none at all'}"
        )
    if since is not None and until is not None and until < since:
        raise UsageError("--until lies before --since: nothing could be read with this token")
    if not 0 < lifetime_s <= LONGEST_S:
        raise UsageError("a token lives longer than no time, and for at most five years; see --lifetime")
