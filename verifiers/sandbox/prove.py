"""Prove an isolation provider by running it and trying to break out.

Invariant: what is judged is what really happened on the host (a connection that arrived, a file that appeared) or what
the program inside could really read; never what the provider promises. An attempt that could not be made is an error.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from verifiers.result import Check, Verdict
from verifiers.sandbox import SandboxError
from verifiers.sandbox.process import start
from verifiers.sandbox.providers import Provider, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from verifiers.sandbox.programs import ServerPrograms

_DEADLINE_S = 30
_MOST_PROCESSES = 8  # bubblewrap, the shell and what it just started
# Every attempt prints one line; dash has no sockets, so the network is tried with psql where there is one.
_SCRIPT = """
can_read() { cat "$1" >/dev/null 2>&1 && echo "$2=read" || echo "$2=refused"; }
can_write() { { echo x >"$1"; } 2>/dev/null && echo "$2=written" || echo "$2=refused"; }
can_read /etc/shadow shadow
can_read "$SECRET" secret
can_write /usr/"$TOKEN" write-usr
can_write /etc/"$TOKEN" write-etc
can_write "$BESIDE" write-beside
can_write /tmp/"$TOKEN" write-tmp
can_write ./"$TOKEN" write-box
echo "user=$(id -u)"
echo "capabilities=$(sed -n 's/^CapEff:[^0-9a-f]*//p' /proc/self/status)"
echo "privileges=$(sed -n 's/^NoNewPrivs:[^0-9]*//p' /proc/self/status)"
set -- /proc/[0-9]*
echo "processes=$#"
echo "interfaces=$(sed -n 's/^ *\\([^ :]*\\):.*/\\1/p' /proc/net/dev | tr '\\n' ' ')"
echo "environment=$(env | grep -c "^$LEAK_NAME=")"
if [ -n "$PSQL" ]; then
  PGCONNECT_TIMEOUT=2 "$PSQL" -w -U x -h 127.0.0.1 -p "$TCP_PORT" -d x -c 'select 1' >/dev/null 2>&1
  PGCONNECT_TIMEOUT=2 "$PSQL" -w -U x -h "@$TOKEN" -p 1 -d x -c 'select 1' >/dev/null 2>&1
  echo "network=tried"
fi
echo "end=reached"
"""


def holds(provider: Provider) -> bool:
    """Say whether the provider runs here and withstands every attempt."""
    return all(check.verdict is Verdict.PASS for check in prove(provider))


def prove(provider: Provider, *, folder: Path | None = None, programs: ServerPrograms | None = None) -> list[Check]:
    """Run the provider, try to break out of it, and return one check an attempt; levels are None.

    folder: an existing folder on the host to try in, else the system's for temporary files; nothing is left in it.
    programs: with them, the network is really tried with their psql, otherwise only looked for.
    """
    if provider.name == "none":
        message = "provider none isolates nothing; it is accepted for an asset by name only"
        return [Check("isolation.none", None, Verdict.SKIP, expected="isolated", observed="none", message=message)]
    began = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="probe-", dir=folder))
    try:
        token = secrets.token_hex(16)
        with _listening(("127.0.0.1", 0)) as tcp, _listening(f"\0{token}/.s.PGSQL.1") as abstract:
            said = _attempt(provider, place, programs, token, tcp.getsockname()[1])
            arrived = _connections(tcp) + _connections(abstract)
        appeared = [str(path) for path in _outside(place, token) if path.exists()]
        checks = _judged(said, arrived=arrived, appeared=appeared, tried=programs is not None)
    except (OSError, SandboxError) as error:
        message = f"the sandbox could not be run: {error}; see `guardian doctor`"
        checks = [Check("isolation.runs", None, Verdict.ERROR, "runs", "does not run", message)]
    finally:
        for path in _outside(place, token):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
    seconds = (time.monotonic() - began) / len(checks)
    return [Check(c.id, c.level, c.verdict, c.expected, c.observed, c.message, duration_s=seconds) for c in checks]


def _attempt(
    provider: Provider, place: Path, programs: ServerPrograms | None, token: str, tcp_port: int
) -> dict[str, str]:
    box, etc, secret = place / "box", place / "etc", place / "secret"
    box.mkdir(mode=0o700)
    etc.mkdir()
    etc.chmod(0o755)
    secret.write_text(token, encoding="utf-8")
    secret.chmod(0o644)  # readable by its mode, so that only the isolation keeps it; its folder is closed all the same
    for name, line in (("passwd", "guardian:x:1000:1000::/tmp:/bin/sh\n"), ("group", "guardian:x:1000:\n")):
        (etc / name).write_text(line, encoding="utf-8")
        (etc / name).chmod(0o644)
    if provider.user is not None:
        os.chown(box, provider.user, provider.user)
    view = View(box, etc, programs)
    env = {
        "SECRET": str(secret),
        "BESIDE": str(place / token),
        "TOKEN": token,
        "TCP_PORT": str(tcp_port),
        "LEAK_NAME": f"GUARDIAN_PROBE_{token}",
        "PSQL": str(provider.inside(programs.program("psql"), view)) if programs else "",
    }
    # Something of Guardian's own environment that must not be seen inside: secrets are referred to as env:NAME.
    os.environ[f"GUARDIAN_PROBE_{token}"] = "1"
    try:
        with (place / "out").open("wb") as out, (place / "err").open("wb") as err:
            running = start(provider.command(["/bin/sh", "-c", _SCRIPT], view), box, env=env, stdout=out, stderr=err)
            try:
                status = running.wait(_DEADLINE_S)
            finally:
                running.kill()
    finally:
        del os.environ[f"GUARDIAN_PROBE_{token}"]
    said = dict(line.split("=", 1) for line in (place / "out").read_text("utf-8").splitlines() if "=" in line)
    if status != 0 or "end" not in said:
        why = (place / "err").read_text("utf-8", errors="replace").strip()[:300]
        raise SandboxError(f"the probe ended with status {status}: {why or 'no message'}")
    return said


def _judged(said: Mapping[str, str], *, arrived: int, appeared: list[str], tried: bool) -> list[Check]:
    def check(name: str, ok: bool, expected: object, observed: object, failing: str) -> Check:
        message = "" if ok else f"a sandboxed program {failing}; do not restore untrusted backups with this provider"
        return Check(f"isolation.{name}", None, Verdict.PASS if ok else Verdict.FAIL, expected, observed, message)

    writes = {
        name.removeprefix("write-") for name, told in said.items() if name.startswith("write-") and told == "written"
    }
    interfaces = said.get("interfaces", "?").split()
    processes = said.get("processes", "")
    return [
        check("shadow", said.get("shadow") == "refused", "refused", said.get("shadow"), "can read /etc/shadow"),
        check("secret", said.get("secret") == "refused", "refused", said.get("secret"), "can read a file of the host"),
        check("writes", not appeared and writes <= {"tmp", "box"}, ["box", "tmp"], sorted(writes),
              "can write outside its folder"),
        check("box", "box" in writes, "written", said.get("write-box"), "cannot write in its own folder"),
        check("user", said.get("user") not in {None, "", "0"}, "not 0", said.get("user"), "is root"),
        check("capabilities", said.get("capabilities", "?").strip("0") == "", "none", said.get("capabilities"),
              "has capabilities"),
        check("privileges", said.get("privileges") == "1", "1", said.get("privileges"), "can gain privileges"),
        check("processes", processes.isdigit() and int(processes) <= _MOST_PROCESSES, f"at most {_MOST_PROCESSES}",
              processes, "sees processes of the host"),
        check("environment", said.get("environment") == "0", "0", said.get("environment"),
              "sees Guardian's environment"),
        check("network", arrived == 0 and set(interfaces) <= {"lo"} and (not tried or said.get("network") == "tried"),
              {"connections": 0, "interfaces": ["lo"]}, {"connections": arrived, "interfaces": interfaces},
              "reaches the network of the host"),
    ]  # fmt: skip


def _outside(place: Path, token: str) -> list[Path]:
    return [Path("/usr", token), Path("/etc", token), Path("/tmp", token), place / token]  # noqa: S108 -- looked at only


@contextlib.contextmanager
def _listening(address: tuple[str, int] | str) -> Iterator[socket.socket]:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen(8)
        listener.setblocking(False)
        yield listener


def _connections(listener: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count
