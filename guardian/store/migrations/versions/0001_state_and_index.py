"""State and index as they were first made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(name: str, *, key: bool = False, unique: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), primary_key=key, unique=unique, nullable=False)


def _text_or_null(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=True)


def _number(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), primary_key=key, nullable=False, autoincrement=False)


def _number_or_null(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=True)


def upgrade() -> None:
    """Make the tables."""
    _slots()
    _api()
    _index()
    for table, column in (
        ("state_slot", "state"),
        ("state_pack", "state"),
        ("index_record", "kind"),
        ("index_record", "asset"),
        ("index_record", "service"),
        ("index_record", "result"),
        ("index_record", "time"),
        ("index_record", "slot"),
    ):
        op.create_index(f"ix_{table}_{column}", table, [column])


def _slots() -> None:
    op.create_table(
        "state_slot",
        _text("job", key=True),
        _text("due", key=True),
        _number("grace_s"),
        _number("attempts"),
        _text("state"),
        _number("token"),
        _text_or_null("owner"),
        _text_or_null("lease_until"),
        _number("attempt"),
        _text_or_null("claimed_at"),
        _text_or_null("result"),
        _text_or_null("record_id"),
        _text_or_null("closed_at"),
    )
    op.create_table(
        "state_schedule",
        _number("one", key=True),
        _text("digest"),
        _text("record_id"),
        _text("effective_from"),
        _text("made_until"),
    )


def _api() -> None:
    op.create_table(
        "state_token",
        _text("id", key=True),
        _text("name", unique=True),
        _text("hash", unique=True),
        _text("role"),
        _text("services"),
        _text_or_null("since"),
        _text_or_null("until"),
        _text("created_at"),
        _text("created_by"),
        _text("expires_at"),
        _text_or_null("revoked_at"),
        _text_or_null("last_used_at"),
    )
    op.create_table(
        "state_access",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        _text("at"),
        _text("token"),
        _text("role"),
        _text("route"),
        _number("status"),
    )
    op.create_table(
        "state_pack",
        _text("id", key=True),
        _text("requested_by"),
        _text("requested_at"),
        _text("state"),
        _number("done"),
        _number("total"),
        _number_or_null("records"),
        _number_or_null("size_bytes"),
        _text_or_null("sha256"),
        _text_or_null("finished_at"),
        _text_or_null("expires_at"),
        _text_or_null("problem"),
    )


def _index() -> None:
    op.create_table(
        "index_record",
        _number("idx", key=True),
        _text("record_id", unique=True),
        _text("kind"),
        _text("subject"),
        _text_or_null("asset"),
        _text_or_null("service"),
        _text("result"),
        _text_or_null("assurance"),
        _text("time"),
        _text_or_null("slot"),
        _text("envelope_sha256"),
    )
    op.create_table(
        "index_verdict",
        _number("idx", key=True),
        _text("control", key=True),
        _text("verdict", key=True),
        _text("service", key=True),
        _number("count"),
    )
