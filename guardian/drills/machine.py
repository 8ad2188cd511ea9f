"""What a drill's timings were measured on: CPU, memory, storage. Reads /proc; never fails, it only knows less."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any


def machine(isolation: str, folder: Path) -> dict[str, Any]:
    """Return what the timings were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    model = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "provider": isolation,
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": model or None,
        "memoryBytes": memory,
        "storage": _storage(folder),
    }


def _storage(folder: Path) -> str | None:
    """Return kind and device of the file system that holds `folder`, such as `ext4 /dev/sda1`."""
    while not folder.exists():
        folder = folder.parent
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split()
            if fields[2] == wanted and "-" in fields:
                kind, source = fields[fields.index("-") + 1 :][:2]
                return f"{kind} {source}"
    return None
