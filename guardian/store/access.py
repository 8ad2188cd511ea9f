"""Rows of answered requests, until they are part of a signed record. I/O: database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func
from sqlmodel import col, select

from guardian.store.tables import AccessRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlmodel import Session


def waiting(session: Session) -> tuple[int, str | None]:
    """Return how many rows wait, and the time of the oldest, None if none does."""
    count, oldest = session.exec(select(func.count(), func.min(AccessRow.at)).select_from(AccessRow)).one()
    return count, oldest


def oldest(session: Session, limit: int) -> Sequence[AccessRow]:
    """Return the rows that came first, at most `limit`."""
    return session.exec(select(AccessRow).order_by(col(AccessRow.id)).limit(limit)).all()


def taking_away(count: int) -> str:
    """Return the SQL that removes `count` rows by their ids and returns the ids that were there."""
    return f"DELETE FROM state_access WHERE id IN ({', '.join('?' * count)}) RETURNING id"  # noqa: S608 -- marks only
