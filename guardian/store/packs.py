"""Rows of packs asked for over the API. I/O: database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func
from sqlmodel import col, select

from guardian.store.tables import PackRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlmodel import Session

QUEUED: Final = "queued"
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"


def by_id(session: Session, pack_id: str) -> PackRow | None:
    """Return the pack of that id, None if there is none."""
    return session.get(PackRow, pack_id)


def counted(session: Session, states: Sequence[str], requested_by: str | None = None) -> int:
    """Return how many packs are in these states, of one token or of all."""
    query = select(func.count()).select_from(PackRow).where(col(PackRow.state).in_(states))
    if requested_by is not None:
        query = query.where(PackRow.requested_by == requested_by)
    return session.exec(query).one()


def in_state(session: Session, state: str) -> Sequence[PackRow]:
    """Return the packs in this state, first asked for first."""
    return session.exec(select(PackRow).where(PackRow.state == state).order_by(col(PackRow.requested_at))).all()


def over(session: Session, now: str) -> Sequence[PackRow]:
    """Return the packs whose time to be fetched is over."""
    return session.exec(
        select(PackRow).where(col(PackRow.expires_at).is_not(None), col(PackRow.expires_at) <= now)
    ).all()
