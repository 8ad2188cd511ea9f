"""The tables, as SQLModel classes. No I/O.

Times are text, RFC 3339 in UTC with milliseconds (`model.rfc3339`), so that they sort and compare alike on SQLite and
PostgreSQL; instants of slots are whole seconds, `2026-11-24T02:00:00Z`.
"""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import Field, SQLModel


class SlotRow(SQLModel, table=True):
    """One scheduled moment of one job.

    state: `due`, `claimed` or `closed`. token: grows by one with each claim and each taking away; owner: who claimed
    it; lease_until: when the claim ends unless it is renewed. attempt: the last one begun, 0 before the first.
    attempts: how many there may be. result: of the last attempt that ended; record_id: its record.
    """

    __tablename__ = "state_slot"

    job: str = Field(primary_key=True)
    due: str = Field(primary_key=True)
    grace_s: int
    attempts: int
    state: str = Field(index=True)
    token: int = 0
    owner: str | None = None
    lease_until: str | None = None
    attempt: int = 0
    claimed_at: str | None = None
    result: str | None = None
    record_id: str | None = None
    closed_at: str | None = None


class ScheduleRow(SQLModel, table=True):
    """The schedule in force: one row at most. digest: of its jobs; made_until: slots up to this instant are rows."""

    __tablename__ = "state_schedule"

    one: int = Field(default=1, primary_key=True)
    digest: str
    record_id: str
    effective_from: str
    made_until: str


class TokenRow(SQLModel, table=True):
    """A bearer token of the API. hash: hex SHA-256 of the token, which is 256 random bits; the token is not kept.

    role: `auditor`, `operator`, `approver` or `admin`. services: JSON list of names, `null` for all. since, until: the
    period whose records it may read, None for open. expires_at: when it ends; revoked_at: when somebody ended it.
    """

    __tablename__ = "state_token"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    hash: str = Field(unique=True)
    role: str
    services: str
    since: str | None = None
    until: str | None = None
    created_at: str
    created_by: str
    expires_at: str
    revoked_at: str | None = None
    last_used_at: str | None = None


class AccessRow(SQLModel, table=True):
    """One answered request, waiting to become part of an `access-event` record."""

    __tablename__ = "state_access"

    id: int | None = Field(default=None, primary_key=True)
    at: str
    token: str
    role: str
    route: str
    status: int


class PackRow(SQLModel, table=True):
    """A pack asked for over the API. state: `queued`, `running`, `done` or `failed`; done, total: members written."""

    __tablename__ = "state_pack"

    id: str = Field(primary_key=True)
    requested_by: str
    requested_at: str
    state: str = Field(index=True)
    done: int = 0
    total: int = 0
    records: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    finished_at: str | None = None
    expires_at: str | None = None
    problem: str | None = None


class RecordRow(SQLModel, table=True):
    """One record of the log, as its verified statement says. envelope_sha256: hex, of the exact envelope."""

    __tablename__ = "index_record"

    idx: int = Field(primary_key=True)
    record_id: str = Field(unique=True)
    kind: str = Field(index=True)
    subject: str
    asset: str | None = Field(default=None, index=True)
    service: str | None = Field(default=None, index=True)
    result: str = Field(index=True)
    assurance: str | None = None
    time: str = Field(index=True)
    slot: str | None = Field(default=None, index=True)
    envelope_sha256: str


class VerdictRow(SQLModel, table=True):
    """How often one control came to one verdict in one record; service: of the resources judged, empty for none."""

    __tablename__ = "index_verdict"
    __table_args__ = (Index("ix_index_verdict_control", "control", "verdict", "idx"),)

    idx: int = Field(primary_key=True)
    control: str = Field(primary_key=True)
    verdict: str = Field(primary_key=True)
    service: str = Field(default="", primary_key=True)
    count: int


STATE = (SlotRow, ScheduleRow, TokenRow, AccessRow, PackRow)
INDEX = (RecordRow, VerdictRow)
