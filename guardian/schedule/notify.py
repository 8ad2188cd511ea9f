"""What systemd is told (sd_notify): one datagram to the socket in NOTIFY_SOCKET, nothing where there is none."""

from __future__ import annotations

import contextlib
import os
import socket


def tell(state: str, environment: dict[str, str] | None = None) -> None:
    """Send a state, such as `READY=1`. Never raises: a service manager that went away is no reason to stop."""
    place = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
        # An address that begins with @ is in the abstract namespace.
        line.connect("\0" + place[1:] if place[0] == "@" else place)
        line.sendall(state.encode())
