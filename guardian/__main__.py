"""Entry point: runs the command line and maps what went wrong to the exit codes of the contract.

0 all passed; 1 something failed; 2 usage or configuration; 3 something could not be checked.
"""

from __future__ import annotations

import signal
import sys
import traceback
from typing import TYPE_CHECKING

from evidence.errors import EvidenceError
from guardian.cli import terminal
from guardian.cli.app import app
from guardian.errors import FailedError, GuardianError, UsageError
from verifiers.errors import VerifierError

if TYPE_CHECKING:
    from types import FrameType


def main() -> None:
    """Run `guardian` with the arguments of this process, and exit."""
    # A terminated drill must tear its sandbox down: an exception unwinds, the default action would not.
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, _terminated)  # 130, as shells expect; Typer would make it 1, which means "failed"
    try:
        app()
    except UsageError as error:
        _stop(error, 2)
    except FailedError as error:
        _stop(error, 1)
    except (GuardianError, EvidenceError, VerifierError) as error:
        _stop(error, 3)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        _stop(error, 3)
    except SystemExit as stop:
        if stop.code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            terminal.error("stopped; what was under way was ended; a drill that had begun is in the log as an error")
        raise
    except Exception:  # noqa: BLE001 -- a defect of ours is "could not check", never the exit code of a failed check
        traceback.print_exc()
        _stop(RuntimeError("internal error: this is a defect of Guardian; nothing was concluded"), 3)


def _terminated(signum: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def _stop(error: Exception, code: int) -> None:
    terminal.error(str(error))
    sys.exit(code)


if __name__ == "__main__":
    main()
