"""The program of one attempt at one slot: `python -P -m guardian.schedule.job --config … --job … --due … …`.

Invariant: it closes its slot whatever happens, short of being killed, or finds that the slot is no longer its own and
writes nothing. It ends with the daemon that started it (`lifeline`). Exit status: 0 closed; 4 the slot was lost; 3 the
slot could not be closed, so that the daemon must.
"""

from __future__ import annotations

import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from guardian import config, telemetry
from guardian.errors import GuardianError
from guardian.schedule import lifeline
from guardian.schedule.order import Order
from guardian.store import slots
from guardian.store.database import Database
from guardian.store.slots import SlotLostError
from guardian.usecases import slot_closing
from guardian.usecases.drill import drill_assets
from guardian.usecases.scan import scan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from guardian.model import Claim
    from guardian.settings import Settings

log_events = structlog.get_logger()

CLOSED: Final = 0
UNCLOSED: Final = 3
LOST: Final = 4
_STOPPED: Final = "stopped: the daemon ended, and this job with it, before it had a result"


def perform(order: Order, work: Callable[[Settings, Claim], None], *, begin: Callable[[], None]) -> int:
    """Do the work of an order and see to it that its slot is closed; return the exit status.

    begin: called first, where a signal that it lets in is met already.
    """
    claim = order.claim
    started_on = datetime.now(UTC)
    settings = config.load(order.config)
    reason = "job ended without a result: it closed nothing"
    try:
        begin()
        work(settings, claim)
    except SlotLostError as error:
        log_events.warning("slot_lost", slot=claim.slot.id, reason=str(error))
        return LOST
    except (KeyboardInterrupt, SystemExit):
        reason = _STOPPED
    except Exception as error:  # noqa: BLE001 -- whatever it was, the slot closes, and says so
        log_events.error("job_failed", slot=claim.slot.id, error=type(error).__name__, reason=str(error))  # noqa: TRY400
        # Only words of our own: what other libraries say may hold what they were reading.
        said = str(error) if isinstance(error, GuardianError) else f"{type(error).__name__}, see the daemon's log"
        reason = f"job ended without a result: {said}"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is left to do is short, and must be done
    return _see_closed(settings, claim, reason, started_on)


def work_of(claim: Claim) -> Callable[[Settings, Claim], None]:
    """Return what a claim's job does."""
    return _scan if claim.slot.asset is None else _drill


def _scan(settings: Settings, claim: Claim) -> None:
    scan(settings, progress=lambda _step: None, claim=claim)


def _drill(settings: Settings, claim: Claim) -> None:
    asset = claim.slot.asset or ""
    drill_assets(settings, [asset], backup_id=None, progress=lambda _asset, _phase, _done, _total: None, claim=claim)


def _see_closed(settings: Settings, claim: Claim, reason: str, started_on: datetime) -> int:
    with Database(settings) as database:
        with database.reading() as session:
            row = slots.row_of(session, claim.slot)
        if row is None or row.token != claim.token:
            log_events.warning("slot_lost", slot=claim.slot.id, reason="it belongs to another by now")
            return LOST
        if row.state != slots.CLAIMED:
            return CLOSED
        try:
            slot_closing.close_unfinished(settings, claim, reason, started_on=started_on, now=database.now())
        except SlotLostError as error:
            log_events.warning("slot_lost", slot=claim.slot.id, reason=str(error))
            return LOST
    return CLOSED


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """Run one order. To be called in the main thread."""
    order = Order.parse(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the daemon decides when its jobs end
    telemetry.configure(verbose=order.verbose)
    try:
        return perform(order, work_of(order.claim), begin=lifeline.hold)
    except Exception as error:  # noqa: BLE001 -- the daemon closes what could not be closed here
        log_events.error("job_unclosed", slot=order.claim.slot.id, reason=str(error))  # noqa: TRY400
        return UNCLOSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
