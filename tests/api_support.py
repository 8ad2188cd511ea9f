"""The evidence API as its users meet it: `guardian api` in a process of its own, on an environment with records."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import requests

from guardian import config
from guardian.usecases import tokens
from tests.reading_support import Writer, environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from guardian.settings import Settings

ROLES = ("auditor", "operator", "approver", "admin")
WAIT_S = 60.0


def settings_with_api(folder: Path, api: str = "", *, records: bool = True, database: str = "") -> Settings:
    """Make an environment of two services that has an API on a free port. api: more of its settings, as YAML."""
    options = {"database": database} if database else {}
    settings = environment(folder, **options)
    with settings.path.open("a", encoding="utf-8") as file:
        file.write(f'api: {{listen: "127.0.0.1:0", requestsPerMinute: 100000{api}}}\n')
    if records:
        Writer(settings).some_of_all()
    return config.load(settings.path)


def token(settings: Settings, name: str, role: str = "auditor", **options: Any) -> str:
    """Return a new token."""
    return tokens.add(settings, name, role, **options).token


def bearer(given: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {given}"}


def await_true(what: str, said: Any, wait_s: float = WAIT_S) -> Any:
    """Wait until `said()` is true and return it."""
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        if found := said():
            return found
        time.sleep(0.05)
    raise AssertionError(f"never came true: {what}")


@dataclass
class Api:
    """`guardian -v api`. url: where it answers."""

    settings: Settings
    env: Mapping[str, str] = field(default_factory=dict)
    verify: str | bool = True

    def __enter__(self) -> Self:
        self.log = self.settings.path.parent / f"api-{time.monotonic_ns()}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "guardian", "-v", "api", "--config", str(self.settings.path)],
                stdout=out,
                stderr=out,
                env={**os.environ, **self.env},
            )
        try:
            self.url = self.await_log(r"guardian api answers (\S+)")[0]
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = self.verify
        return self

    def __exit__(self, *_error: object) -> None:
        self.session.close()
        if self.process.poll() is None:
            self.stop()

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def await_log(self, pattern: str, times: int = 1) -> list[str]:
        def found() -> list[str] | None:
            matches = re.findall(pattern, self.said())
            if len(matches) < times and self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}: {self.said()}")
            return matches if len(matches) >= times else None

        result: list[str] = await_true(f"{pattern} in {self.log}", found)
        return result

    def child(self) -> int:
        """Return the id of the process that answers."""
        return int(self.await_log(r"api_child_started\s+pid=(\d+)")[-1])

    def get(self, path: str, given: str | None = None, **options: Any) -> requests.Response:
        return self.send("GET", path, given, **options)

    def send(self, method: str, path: str, given: str | None = None, **options: Any) -> requests.Response:
        headers = {**(bearer(given) if given else {}), **options.pop("headers", {})}
        options.setdefault("allow_redirects", False)
        return self.session.request(method, self.url + path, headers=headers, timeout=30, **options)
