"""The opa engine: a bundle's controls, judged by an OPA server, remote or a managed child, through OPA's own client.

Invariant: what answers has this very bundle loaded, asked anew whenever the server says that its bundles changed; an
answer that is late, too large, not JSON or without a result is an error, and a failing builtin is one too
(`strict-builtin-errors`). I/O: HTTP to the one server that is configured; nothing of the environment changes where.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import orjson
import requests
import urllib3
from opa_client import OpaClient

from guardian.errors import ConfigError
from guardian.policy import engine as engines
from guardian.policy.bundle import DIGEST_PATH
from guardian.policy.engine import EngineError, EvaluationError, UnansweredError
from guardian.policy.opa_transport import Transport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from guardian.policy.bundle import Bundle
    from guardian.policy.engine import Judgement

DEADLINE_S: Final = 10.0
LEAST_VERSION: Final = (1, 20)
_CHANGES: Final = 3  # how often a server's bundles may change while one input is judged
_TOLD: Final = 300  # characters of a server's own words that are repeated


@dataclass(frozen=True, slots=True)
class Address:
    """Where an OPA server is. path: its Unix socket, instead of host and port."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    token: str | None = field(default=None, repr=False)
    path: Path | None = None

    @classmethod
    def of(cls, url: str, *, token: str | None, ca: Path | None) -> Address:
        """Return the address of `url`: https, or http on this machine. Raises ConfigError."""
        wrong = "engine.url must be like https://opa.example:8181, or http://127.0.0.1:8181 on this machine"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise ConfigError(f"{wrong}; found {url!r}: {error}") from None
        if parts.scheme not in {"http", "https"} or not host or parts.path.strip("/") or parts.query or parts.fragment:
            raise ConfigError(f"{wrong}; found {url!r}")
        if parts.username is not None or parts.password is not None:
            raise ConfigError(f"{wrong}: a name or password in it is not used; set engine.token")
        if parts.scheme == "http" and not _is_here(host):
            raise ConfigError(f"{wrong}; found http to {host}, where anyone on the way could change verdicts")
        try:
            context = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"engine.ca: cannot read certificates from {ca}: {error}") from error
        return cls(host, port or (443 if context else 80), context, token)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Server(Protocol):
    """Something that runs OPA."""

    def address(self) -> Address:
        """Return where it is now, started again if it must be. Raises EngineError."""
        ...

    def why(self) -> str:
        """Return what is known about a failure just seen, empty if nothing is."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


@dataclass(frozen=True, slots=True)
class Remote:
    """A server that someone else runs."""

    at: Address

    def address(self) -> Address:
        """Return where it is."""
        return self.at

    def why(self) -> str:
        """Return nothing: it is out of sight."""
        return ""

    def close(self) -> None:
        """Leave it running."""


class Connection:
    """One client to one address."""

    def __init__(self, address: Address, deadline_s: float) -> None:
        host = f"[{address.host}]" if ":" in address.host else address.host
        self._client: Any = OpaClient(
            host=host,
            port=address.port,
            ssl=address.tls is not None,
            token=address.token,
            retries=0,
            timeout=(deadline_s, deadline_s),
        )
        self._transport = Transport(
            address.host, address.port, path=address.path, tls=address.tls, deadline_s=deadline_s
        )
        self._transport.mount(self._client)

    def healthy(self) -> bool:
        """Tell whether the server answers that it is ready."""
        try:
            return bool(self._client.check_health())
        except (EvaluationError, urllib3.exceptions.HTTPError, OSError):
            return False

    def ask(self, path: str, document: Any) -> dict[str, Any]:  # noqa: ANN401 -- any JSON value
        """Return OPA's answer at `path` for `document`, with its provenance. Raises EvaluationError."""
        parameters = {"strict-builtin-errors": "true", "provenance": "true"}
        try:
            answer = self._client.query_rule(document, path, query_params=parameters)
        except requests.HTTPError as error:
            raise _refusal(error.response) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise UnansweredError(f"the OPA server did not answer ({_cause(error)})") from None
        if not isinstance(answer, dict) or not isinstance(answer.get("provenance"), dict):
            raise EvaluationError("the OPA server's answer is not one that OPA gives")
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._client.close_connection()
        self._transport.close()


def _refusal(response: requests.Response) -> EvaluationError:
    """Return what a status other than 200 means. A strict builtin error is a 500 with `errors`."""
    try:
        answer = response.json()
    except EvaluationError:
        answer = None
    stated = answer if isinstance(answer, dict) else {}
    if response.status_code == 500:
        errors = stated.get("errors")
        causes = (
            [entry.get("message") for entry in errors if isinstance(entry, dict)] if isinstance(errors, list) else []
        )
        return EvaluationError(f"evaluation failed: {_told(causes[0] if causes else stated.get('message'))}")
    hint = {401: "; check engine.token", 403: "; check engine.token"}.get(response.status_code, "")
    return UnansweredError(
        f"the OPA server refused with HTTP {response.status_code}: {_told(stated.get('message'))}{hint}"
    )


def _told(text: object) -> str:
    """Return a server's words, short and printable."""
    words = str(text) if isinstance(text, str) and text else "no reason given"
    return "".join(letter if letter.isprintable() else " " for letter in words[:_TOLD])


def _cause(error: BaseException) -> str:
    """Return the innermost reason, without addresses in memory or the request."""
    reason: Any = error
    for _ in range(8):
        found = [getattr(reason, "reason", None), *reversed(getattr(reason, "args", ())), reason.__cause__]
        inner = next((part for part in found if isinstance(part, Exception)), None)
        if inner is None:
            break
        reason = inner
    text = getattr(reason, "verify_message", None) or getattr(reason, "strerror", None) or type(reason).__name__
    return _told(str(text))


class OpaEngine:
    """Judges a bundle's controls on a server. One instance belongs to one thread."""

    name = "opa"

    def __init__(self, bundle: Bundle, server: Server, *, deadline_s: float = DEADLINE_S) -> None:
        """Connect, and make sure that this very bundle is loaded there; `server` is closed with the engine.

        Raises EngineError, naming what to do, if the server is out of reach or has other policies.
        """
        self.bundle_digest = bundle.digest
        self._server, self._deadline_s = server, deadline_s
        self._connection: Connection | None = None
        self._address: Address | None = None
        self._provenance: Any = None
        self.version = ""
        try:
            self._introduce(self._connected())
        except EvaluationError as error:
            self.close()
            raise EngineError(f"the opa engine cannot be used: {error}{_because(server.why())}") from None
        except BaseException:
            self.close()
            raise

    def judge(
        self, scope: str, controls: Mapping[str, Mapping[str, Any]], document: Mapping[str, Any]
    ) -> Sequence[Judgement]:
        """Judge one input by several controls in one crossing; see `engine.Engine` and `engine.judge_each`."""

        def crossing(asked: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
            content = orjson.loads(engines.encode(asked, document))  # exactly the values that the other engine is given
            return self._evaluate(f"guardian/dispatch/{scope}", content)

        return engines.judge_each(controls, crossing)

    def close(self) -> None:
        """Close the connection, and end the server if it is a child."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._server.close()

    def _evaluate(self, path: str, content: Any) -> Mapping[str, Any]:  # noqa: ANN401 -- any JSON value
        try:
            connection = self._connected()
            for _ in range(_CHANGES):
                answer = connection.ask(path, content)
                if answer["provenance"] == self._provenance:
                    break
                self._introduce(connection)  # its bundles changed since it was asked; what it said may be of either
            else:
                raise EvaluationError("the OPA server's policies keep changing")
        except UnansweredError as error:
            raise UnansweredError(f"{error}{_because(self._server.why())}") from None
        except EngineError as error:
            raise UnansweredError(str(error)) from None
        result = answer.get("result")
        if not isinstance(result, dict):
            raise EvaluationError("the OPA server gave no result: the policies are not loaded there")
        return result

    def _connected(self) -> Connection:
        """Return a connection to where the server is now."""
        address = self._server.address()
        if self._connection is None or address is not self._address:
            if self._connection is not None:
                self._connection.close()
            self._provenance = None
            self._address, self._connection = address, Connection(address, self._deadline_s)
        return self._connection

    def _introduce(self, connection: Connection) -> None:
        """Learn the server's version, and that it holds this bundle. Raises EngineError, EvaluationError."""
        answer = connection.ask(DIGEST_PATH, {})
        found = answer.get("result")
        if found != self.bundle_digest:
            has = f"has the bundle {_told(found)}" if isinstance(found, str) else "has no policies of Guardian"
            raise EngineError(
                f"the OPA server {has}, not {self.bundle_digest}: make the bundle with "
                "`guardian policy build --output bundle.tar.gz` and load it there (`opa run --server -b bundle.tar.gz`)"
            )
        version = answer["provenance"].get("version")
        if not isinstance(version, str) or _numbers(version) < LEAST_VERSION:
            least = ".".join(map(str, LEAST_VERSION))
            raise EngineError(f"the OPA server is of version {_told(version)}; it must be {least} or newer")
        self.version, self._provenance = version, answer["provenance"]


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})\.", version)
    return (int(found[1]), int(found[2])) if found else ()


def _because(why: str) -> str:
    return f": {why}" if why else ""
