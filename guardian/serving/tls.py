"""The serving certificate, read again when its files change, without a connection noticing.

Invariant: what is served was read as one whole that fits: a certificate without its key, half a swap or a file that is
no PEM is refused with a log line, and what was served before goes on. Connections keep what they began with; the next
handshake gets the new. I/O: reads the files it is given; the caller says when to look.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import structlog
from cryptography import x509

from guardian.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

log_events = structlog.get_logger()

# TLS 1.2 with forward secrecy and authenticated encryption only; the suites of 1.3 are all so.
_TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ServingContext(ssl.SSLContext):
    """What a server is given once: every handshake is done under the context that is current then.

    asyncio and uvloop ask `wrap_bio` for each connection; that is the one door through which a context is used.
    """

    current: ssl.SSLContext

    @classmethod
    def serving(cls, current: ssl.SSLContext) -> Self:
        """Return a context that stands for `current` until another one is put there."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context.current = current
        return context

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:  # noqa: ANN401 -- as the base class takes them
        """Begin a handshake under the current context."""
        return self.current.wrap_bio(*arguments, **named)


@dataclass(frozen=True, slots=True)
class Files:
    """PEM files. place: where guardian.yaml names them, `webhook` or `api`. client_ca: only its callers are served."""

    place: str
    certificate: Path
    key: Path
    client_ca: Path | None = None


class Certificate:
    """The certificate, key and client CA of a server, as they stand in their files."""

    def __init__(self, files: Files) -> None:
        """Read the files. Raises UsageError if they do not serve."""
        self._files = files
        self._refused, self._reloaded = f"{files.place}_certificate_refused", f"{files.place}_certificate_reloaded"
        self._seen = self._look()
        current, self.expires = _read(files)
        self.context = ServingContext.serving(current)

    def reload(self, now: datetime) -> bool:
        """Look at the files, and serve what they hold if they changed and fit. Return whether anything changed."""
        seen = self._look()
        if seen == self._seen:
            return False
        try:
            current, expires = _read(self._files)
        except UsageError as error:
            # Once for each change, not each second: half a swap is whole a moment later, and then it changed again.
            log_events.warning(self._refused, reason=str(error), serving_until=str(self.expires))
            self._seen = seen
            return False
        if self._look() != seen:
            return False  # they changed while they were read; look again soon
        self._seen = seen
        if expires <= now < self.expires:
            reason = f"{self._files.certificate} expired at {expires}"
            log_events.warning(self._refused, reason=reason, serving_until=str(self.expires))
            return False
        self.context.current, self.expires = current, expires
        log_events.info(self._reloaded, expires=str(expires))
        return True

    def _look(self) -> tuple[tuple[int, int, int, int] | None, ...]:
        """Return what tells a file from its successor; through symbolic links, as Kubernetes swaps mounts."""
        paths = (self._files.certificate, self._files.key, self._files.client_ca)
        return tuple(_identity(path) for path in paths if path is not None)


def _identity(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _read(files: Files) -> tuple[ssl.SSLContext, datetime]:
    """Return a context and when its certificate expires. Raises UsageError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    # No resumption: each handshake is checked against the client CA of its moment.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
        expires = x509.load_pem_x509_certificate(files.certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise UsageError(
            f"cannot serve with {files.place}.certificate {files.certificate} and {files.place}.key {files.key}:"
            f" {error}; "
            "they must be PEM files, the chain with the server's certificate first, and the key of that certificate"
        ) from error
    if files.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot use {files.place}.clientCA {files.client_ca}: {error}") from error
    return context, expires.astimezone(UTC)


def _no_password() -> str:
    raise ValueError("the key is encrypted; Guardian reads it at any time, with nobody there to ask")
