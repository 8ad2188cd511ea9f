"""A real S3 server of our own: SeaweedFS, with versions, object lock, TLS and several users.

Everything lies in one folder and listens on loopback, on ports the system hands out; it ends with the `with` block.
SeaweedFS holds locked objects against everybody; that its clocks and disks are out of reach is not what it proves.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import boto3
import botocore.exceptions
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_READY_S: Final = 60
_ADDRESS: Final = "127.0.0.1"
REGION: Final = "eu-central-1"


@dataclass(frozen=True, slots=True)
class User:
    """A user of the server. actions: SeaweedFS' words, such as `Read:bucket`."""

    name: str
    actions: tuple[str, ...]

    @property
    def key(self) -> str:
        """The access key."""
        return f"KEY{self.name.upper()}"

    @property
    def secret(self) -> str:
        """The secret key."""
        return f"secret-of-{self.name}-never-shown"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to be this user."""
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}


ADMIN: Final = User("admin", ("Admin", "Read", "List", "Tagging", "Write"))
NOBODY: Final = User("nobody", ("Read:other", "List:other"))
READER: Final = User("reader", ("Read", "List"))


def program() -> str:
    """Return the path of `weed`, which its wheel puts beside Python."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise FileNotFoundError("no program weed; install the development group: uv sync --extra embedded")
    return found


class Seaweed:
    """The server, while the `with` block runs. folder: new or empty.

    tls: paths of certificate chain and key. ca: file of the authority that signed them.
    """

    def __init__(self, folder: Path, *, tls: tuple[Path, Path] | None = None, ca: str | None = None) -> None:
        self._folder, self._tls, self._ca = folder, tls, ca
        self._port = 0
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        for attempt in range(3):  # a port may be taken between our asking for it and the server's binding it
            folder = self._folder / str(attempt)
            (folder / "data").mkdir(parents=True)
            self._start(folder)
            if self._ready():
                return self
            self._end()
        raise RuntimeError(f"SeaweedFS did not start; see {self._folder}/*/log")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"{'https' if self._tls else 'http'}://{_ADDRESS if not self._tls else 'localhost'}:{self._port}"

    def client(self, user: User = ADMIN) -> Any:
        """Return a client of boto3's, for a user."""
        return boto3.client(
            "s3",
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=user.key,
            aws_secret_access_key=user.secret,
            verify=self._ca,
            config=Config(
                s3={"addressing_style": "path"}, ignore_configured_endpoint_urls=True, retries={"total_max_attempts": 5}
            ),
        )

    def _start(self, folder: Path) -> None:
        names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"]
        names += ["s3.port", "s3.port.grpc", *(["s3.port.https"] if self._tls else [])]
        ports = dict(zip(names, _free_ports(len(names)), strict=True))
        self._port = ports["s3.port.https" if self._tls else "s3.port"]
        users = [
            {
                "name": user.name,
                "credentials": [{"accessKey": user.key, "secretKey": user.secret}],
                "actions": list(user.actions),
            }
            for user in (ADMIN, NOBODY, READER)
        ]
        (folder / "users.json").write_text(json.dumps({"identities": users}))
        options: Mapping[str, str | int | Path] = {
            "dir": folder / "data",
            "ip": _ADDRESS,
            "ip.bind": _ADDRESS,
            "s3.config": folder / "users.json",
            "filer.localSocket": folder / "filer.sock",
            "s3.localSocket": folder / "s3.sock",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "volume.max": 5000,  # a bucket takes seven
            "volume.preStopSeconds": 0,
            "volume.minFreeSpace": "100MiB",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            **ports,
            **({"s3.cert.file": self._tls[0], "s3.key.file": self._tls[1]} if self._tls else {}),
        }
        argv = [program(), f"-logdir={folder}", "server", "-filer", "-s3", *(f"-{k}={v}" for k, v in options.items())]
        with (folder / "log").open("wb") as log:
            # Its own settings are looked for in the folder it runs in and in HOME.
            self._child = subprocess.Popen(
                argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, env={"HOME": str(folder)}
            )

    def _ready(self) -> bool:
        """Wait until an object can be written: the gateway answers before its volumes do."""
        ends = time.monotonic() + _READY_S
        while time.monotonic() < ends and self._child is not None and self._child.poll() is None:
            try:
                client = self.client()
                client.create_bucket(Bucket="ready")
                client.put_object(Bucket="ready", Key="ready", Body=b"ready")
            except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
                time.sleep(0.3)
                continue
            return True
        return False

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.terminate()
        try:
            child.wait(2)  # it waits for connections that stay open
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _free_ports(count: int) -> list[int]:
    """Return ports that are free now, low enough that their gRPC neighbours exist."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((_ADDRESS, 0))
        return [each.getsockname()[1] for each in sockets]
