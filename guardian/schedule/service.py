"""The program that runs another command of Guardian as the daemon's child, and ends it when the daemon is gone.

python -P -m guardian.schedule.service webhook --config FILE
"""

from __future__ import annotations

import runpy
import sys

from guardian.schedule import lifeline

if __name__ == "__main__":
    lifeline.hold()
    sys.argv[0] = "guardian"
    runpy.run_module("guardian", run_name="__main__", alter_sys=False)
