"""The policy shipped for readers of backups in S3 grants what is asked on the wire, and nothing else."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

from tests.shelves.s3 import PREFIX, new_bucket, place_of
from tests.tools.seaweed import ADMIN
from verifiers.sources.s3 import S3Prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tools.seaweed import Seaweed

SHIPPED = Path(__file__).parents[2] / "deploy" / "aws-backup-reader-policy.json"
REQUEST = re.compile(rb"^([A-Z]+) (\S+) HTTP/1\.1\r$", re.MULTILINE)
# By a word of the query: the action that AWS asks permission for. The more special first.
ON_BUCKET = {"versioning": "GetBucketVersioning", "versions": "ListBucketVersions", "list-type": "ListBucket"}
ON_OBJECT = {"legal-hold": "GetObjectLegalHold", "retention": "GetObjectRetention", "versionId": "GetObjectVersion"}


class Tap:
    """Passes connections on to a server, byte by byte, and keeps what clients sent."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._sent: list[bytearray] = []
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream)
                self._open += [client, server]
                sent = bytearray()
                self._sent.append(sent)
                threading.Thread(target=_pass_on, args=(client, server, sent), daemon=True).start()
                threading.Thread(target=_pass_on, args=(server, client, bytearray()), daemon=True).start()

    @property
    def actions(self) -> set[str]:
        """The IAM actions of all requests, as S3 asks for them."""
        return {_action(method.decode(), target.decode()) for method, target in self._requests()}

    def _requests(self) -> Iterator[tuple[bytes, bytes]]:
        for sent in self._sent:
            yield from REQUEST.findall(bytes(sent))


def _pass_on(one: socket.socket, other: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            kept += data
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


def _action(method: str, target: str) -> str:
    parts = urlsplit(target)
    words = parse_qs(parts.query, keep_blank_values=True)
    whole_bucket = "/" not in parts.path.strip("/")
    known = ON_BUCKET if whole_bucket else ON_OBJECT
    found = next((action for word, action in known.items() if word in words), None)
    if method == "GET" and (found or not whole_bucket):
        return f"s3:{found or 'GetObject'}"
    return f"{method} {target}"  # what no grant is for


def test_policy_for_readers_of_backups_grants_exactly_what_is_asked(seaweed: Seaweed, tmp_path: Path) -> None:
    asked: set[str] = set()
    for kind, options in (("plain", {}), ("locked", {"locks": True})):
        bucket = new_bucket(seaweed, **options)
        seaweed.client().put_object(Bucket=bucket, Key=f"{PREFIX}/erp.dump", Body=b"dump")
        into = tmp_path / kind
        into.mkdir()
        with Tap(seaweed.url) as tap:
            source = S3Prefix("postgres", replace(place_of(seaweed, bucket, ADMIN), endpoint=tap.url))
            [item] = source.locate()
            fetched = source.fetch(item, into, lambda _: None)
            assert source.digest(item) == (fetched.sha256, fetched.bytes)
            if options:
                source.holds(item, datetime.now(UTC) + timedelta(days=1))
            asked |= tap.actions
    shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))
    granted = [(action, statement) for statement in shipped["Statement"] for action in statement["Action"]]
    assert all(statement["Effect"] == "Allow" for _, statement in granted)
    assert sorted(action for action, _ in granted) == sorted(asked)
    of_bucket = {f"s3:{action}" for action in ON_BUCKET.values()}
    for action, statement in granted:
        wanted = "arn:aws:s3:::BUCKET" if action in of_bucket else "arn:aws:s3:::BUCKET/PREFIX/*"
        assert statement["Resource"] == wanted, action
