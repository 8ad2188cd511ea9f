"""The demo's backup command: `python -m guardian.usecases.demo_backup …`, wrapped by `guardian manifest`.

It takes the backup as the tool for real pairs does and, asked to, changes one digit of it before it ends: a corruption
that happened before anyone computed a digest, which only comparing contents can find.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from guardian.errors import GuardianError
from guardian.usecases import odoo_backup
from guardian.usecases.demo_faults import alter_digit

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program. Returns the exit code."""
    parser = odoo_backup.parser()
    parser.add_argument("--alter-digit", action="store_true", help="change one digit of one row (needs --compress=0)")
    parser.add_argument("--quiet", action="store_true", help="say nothing unless it fails")
    parser.set_defaults(compress="0")
    options = parser.parse_args(arguments)
    try:
        backup = odoo_backup.run(options)
        if options.alter_digit:
            alter_digit(backup.folder / "db.dump")
        if not options.quiet:
            odoo_backup.report(backup)
    except GuardianError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
