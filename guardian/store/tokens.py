"""Rows of bearer tokens, found by the hash of what a caller shows; the token itself is not kept. I/O: database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlmodel import col, select

from guardian.store.tables import TokenRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlmodel import Session


def by_hash(session: Session, digest: str) -> TokenRow | None:
    """Return the token whose hash is `digest` (hex SHA-256), None if there is none."""
    return session.exec(select(TokenRow).where(TokenRow.hash == digest)).first()


def by_id(session: Session, token_id: str) -> TokenRow | None:
    """Return the token of that id, None if there is none."""
    return session.get(TokenRow, token_id)


def by_name_or_id(session: Session, wanted: str) -> TokenRow | None:
    """Return the token of that name or id, None if there is none; a name goes before an id."""
    named = session.exec(select(TokenRow).where(TokenRow.name == wanted)).first()
    return named or session.get(TokenRow, wanted)


def listed(session: Session) -> Sequence[TokenRow]:
    """Return every token ever made, by name."""
    return session.exec(select(TokenRow).order_by(col(TokenRow.name))).all()
