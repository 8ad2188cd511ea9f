"""A remote OPA server that lies, trickles, floods or speaks no OPA: an error each time, soon, and never a pass."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from guardian.errors import ConfigError
from guardian.policy import opa_transport
from guardian.policy.engine import EngineError
from guardian.policy.engines import open_engine
from guardian.policy.opa import Address, OpaEngine, Remote
from guardian.settings import EngineSettings, Secret
from tests import policy_support as make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardian.policy.bundle import Bundle
    from guardian.policy.engine import Judgement

CONTROLS = {"postgres.durability": {"synchronousCommit": True}, "service.declared": {}}
PROVENANCE = {"version": "1.20.2", "bundles": {"b": {"revision": "r"}}}
Reply = bytes | list[bytes]


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


class Hostile:
    """A server on loopback that tells the digest it is given, and answers everything else with `reply`.

    reply: bytes to send, or a list of pieces sent a moment apart; the last one again and again.
    """

    def __init__(self, digest: str, pause_s: float = 0.05) -> None:
        self.digest, self.pause_s = digest, pause_s
        self.reply: Reply = b""
        self.introduction: Reply = http(orjson.dumps({"result": digest, "provenance": PROVENANCE}))
        self.requests: list[bytes] = []
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError):
                line, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(line,), daemon=True))
                self._threads[-1].start()

    def _serve(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError, ValueError):
            line.settimeout(20)
            while request := self._request(line):
                self.requests.append(request)
                asked = b"guardian/bundle/digest" in request.split(b"\r\n", 1)[0]
                self._send(line, self.introduction if asked else self.reply)

    def _request(self, line: socket.socket) -> bytes:
        text = b""
        while b"\r\n\r\n" not in text:
            piece = line.recv(65536)
            if not piece:
                return b""
            text += piece
        head, _, body = text.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += line.recv(65536)
        return head + b"\r\n\r\n" + body

    def _send(self, line: socket.socket, reply: Reply) -> None:
        if isinstance(reply, bytes):
            line.sendall(reply)
            return
        for piece in reply:
            line.sendall(piece)
        while not self._stop.wait(self.pause_s):
            line.sendall(reply[-1])

    def close(self) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def hostile(policy_bundle: Bundle) -> Iterator[Hostile]:
    """A hostile server that has passed itself off as one with our bundle."""
    server = Hostile(policy_bundle.digest)
    yield server
    server.close()


@contextlib.contextmanager
def engine_of(bundle: Bundle, server: Hostile, deadline_s: float = 5.0) -> Iterator[OpaEngine]:
    address = Address.of(server.url, token="tok", ca=None)
    with contextlib.closing(OpaEngine(bundle, Remote(address), deadline_s=deadline_s)) as engine:
        yield engine


def judged(engine: OpaEngine) -> list[Judgement]:
    return list(engine.judge("resource", CONTROLS, {"resource": make.server().to_json()}))


def answer(result: Any, provenance: Any = PROVENANCE) -> bytes:
    return http(orjson.dumps({"result": result, "provenance": provenance}))


NOT_OPA: dict[str, tuple[bytes, str]] = {
    "empty object": (http(b"{}"), "not one that OPA gives"),
    "no result": (http(orjson.dumps({"provenance": PROVENANCE})), "gave no result"),
    "result of another type": (answer(["pass"]), "gave no result"),
    "null result": (answer(None), "gave no result"),
    "a list": (http(b"[]"), "not one that OPA gives"),
    "not JSON": (http(b"<html>ok</html>"), "is not JSON"),
    "almost JSON": (http(b'{"result": NaN}'), "is not JSON"),
    "nothing": (http(b""), "is not JSON"),
    "nested deeply": (http(b"[" * 100_000), "is not JSON"),
    "not UTF-8": (http(b'{"result": "\xff"}'), "is not JSON"),
    "control left out": (answer({}), "gave no verdict"),
    "control without findings": (answer({name: {} for name in CONTROLS}), "gave no verdict"),
    "findings of another type": (answer({name: {"findings": {}} for name in CONTROLS}), "gave no verdict"),
    "compressed": (http(gzip.compress(b"{}"), "200 OK", "Content-Encoding: gzip"), "is compressed"),
    "a redirect": (http(b"{}", "307 Temporary Redirect", "Location: http://127.0.0.1:9/"), "redirects"),
    "not modified": (http(b"{}", "304 Not Modified"), "redirects"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", "is not JSON"),
    "unauthorized": (http(b'{"message": "who\x1b[2J?"}', "401 Unauthorized"), "HTTP 401"),
    "not found": (http(b"[]", "404 Not Found"), "HTTP 404: no reason given"),
    "server error": (http(b'{"errors": [{"message": 7}, 1]}', "500 Internal Server Error"), "no reason given"),
    "not HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", "did not answer"),
    "cut short": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "did not answer"),
    "header without end": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "did not answer"),
    "contradictory chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", "did not answer"),
}


@pytest.mark.parametrize("name", NOT_OPA)
def test_answer_that_no_opa_gives_is_an_error_for_every_control(
    name: str, policy_bundle: Bundle, hostile: Hostile
) -> None:
    reply, told = NOT_OPA[name]
    hostile.reply = reply
    with engine_of(policy_bundle, hostile, 1.0) as engine:
        judgements = judged(engine)
        for judgement in judgements:
            assert judgement.error is not None
            assert told in judgement.error or "exceeded its deadline" in judgement.error
            assert judgement.error.isprintable()
            assert list(judgement.findings) == []
        hostile.reply = answer({name: {"findings": []} for name in CONTROLS})
        assert [judgement.error for judgement in judged(engine)] == [None, None]


def test_answer_larger_than_the_cap_is_an_error_and_is_not_read_to_its_end(
    policy_bundle: Bundle, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opa_transport.Transport.__init__, "__kwdefaults__", _smaller(100_000))
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    hostile.pause_s = 0.0
    for reply in (http(b" " * 100_001 + b"{}"), [endless, b"ffff\r\n" + b" " * 0xFFFF + b"\r\n"]):
        hostile.reply = reply
        with engine_of(policy_bundle, hostile) as engine:
            errors = {judgement.error for judgement in judged(engine)}
        assert errors == {"the OPA server's answer is larger than 100000 bytes"}


def _smaller(size: int) -> dict[str, Any]:
    defaults = opa_transport.Transport.__init__.__kwdefaults__
    assert defaults is not None
    return {**defaults, "answer_bytes": size}


TRICKLES: dict[str, Callable[[], list[bytes]]] = {
    "silence": lambda: [b""],
    "status line": lambda: [b"H"],
    "headers": lambda: [b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"],
    "one endless header": lambda: [b"HTTP/1.1 200 OK\r\nX: ", b"x"],
    "body": lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "],
    "chunks": lambda: [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"],
    "continue": lambda: [b"HTTP/1.1 100 Continue\r\n\r\n"],
}


@pytest.mark.parametrize("name", TRICKLES)
def test_trickle_ends_at_the_deadline_whatever_is_trickled(name: str, policy_bundle: Bundle, hostile: Hostile) -> None:
    hostile.reply = TRICKLES[name]()
    with engine_of(policy_bundle, hostile, 0.5) as engine:
        begun = time.monotonic()
        errors = {judgement.error for judgement in judged(engine)}
        took = time.monotonic() - begun
        assert errors == {"evaluation exceeded its deadline of 0.5 s"}
        assert took < 60  # for as long as it is trickled, without the deadline: for ever
        hostile.reply = answer({control: {"findings": []} for control in CONTROLS})
        assert [judgement.error for judgement in judged(engine)] == [None, None]


def test_many_controls_and_a_server_that_hangs_end_after_a_few_deadlines(
    policy_bundle: Bundle, hostile: Hostile
) -> None:
    hostile.reply = [b""]
    many: dict[str, dict[str, Any]] = {f"family.control-{number}": {} for number in range(50)}
    with engine_of(policy_bundle, hostile, 0.3) as engine:
        judgements = engine.judge("resource", many, {"resource": {}})
    assert {judgement.error for judgement in judgements} == {"evaluation exceeded its deadline of 0.3 s"}
    assert len([text for text in hostile.requests if b"dispatch" in text]) == 3


def test_handshake_that_never_ends_is_given_up_at_the_deadline(policy_bundle: Bundle, hostile: Hostile) -> None:
    address = Address.of(hostile.url.replace("http:", "https:"), token=None, ca=None)
    hostile.introduction = hostile.reply = [b""]
    with pytest.raises(EngineError, match=r"exceeded its deadline of 0\.5 s|did not answer"):
        OpaEngine(policy_bundle, Remote(address), deadline_s=0.5)


def test_server_with_another_bundle_is_refused_with_what_to_do(policy_bundle: Bundle, hostile: Hostile) -> None:
    for told, expected in (("0" * 64, "has the bundle 0000"), (None, "has no policies of Guardian")):
        hostile.introduction = answer(told)
        with pytest.raises(EngineError, match=r"guardian policy build --output bundle\.tar\.gz") as refused:
            open_engine(EngineSettings("opa", url=hostile.url), policy_bundle)
        assert expected in str(refused.value)


@pytest.mark.parametrize("version", ["1.19.0", "0.70.0", "9" * 5000, "", None, 7])
def test_server_of_an_old_or_untold_version_is_refused(policy_bundle: Bundle, hostile: Hostile, version: Any) -> None:
    hostile.introduction = answer(policy_bundle.digest, {"version": version})
    with pytest.raises(EngineError, match=r"must be 1\.20 or newer"):
        open_engine(EngineSettings("opa", url=hostile.url), policy_bundle)


def test_bundle_that_is_replaced_while_guardian_runs_is_noticed_at_the_next_evaluation(
    policy_bundle: Bundle, hostile: Hostile
) -> None:
    passes: dict[str, Any] = {control: {"findings": []} for control in CONTROLS}
    hostile.reply = answer(passes)
    with engine_of(policy_bundle, hostile) as engine:
        assert [judgement.error for judgement in judged(engine)] == [None, None]
        hostile.reply = answer(passes, {"version": "1.20.2", "bundles": {"b": {"revision": "other"}}})
        hostile.introduction = answer("0" * 64, {"version": "1.20.2", "bundles": {"b": {"revision": "other"}}})
        for judgement in judged(engine):
            assert "has the bundle 0000" in str(judgement.error)


def test_server_that_got_another_bundle_beside_ours_is_asked_again_and_believed(
    policy_bundle: Bundle, hostile: Hostile
) -> None:
    more = {"version": "1.21.0", "bundles": {"b": {"revision": "r"}, "c": {"revision": "s"}}}
    with engine_of(policy_bundle, hostile) as engine:
        hostile.reply = answer({control: {"findings": []} for control in CONTROLS}, more)
        hostile.introduction = answer(policy_bundle.digest, more)
        assert [judgement.error for judgement in judged(engine)] == [None, None]
        assert engine.version == "1.21.0"
        hostile.reply = answer({}, {"version": "1.21.0", "bundles": {"b": {"revision": "x"}}})
        for judgement in judged(engine):
            assert judgement.error == "the OPA server's policies keep changing"


def test_failing_builtin_of_one_control_leaves_the_others_their_verdicts(
    policy_bundle: Bundle, hostile: Hostile
) -> None:
    words = "operand 1 must be string" + "x" * 1000 + "\x1b[31m"
    body = orjson.dumps({"code": "internal_error", "errors": [{"code": "eval_builtin_error", "message": words}]})
    hostile.reply = http(body, "500 Internal Server Error")
    with engine_of(policy_bundle, hostile) as engine:
        for judgement in judged(engine):
            assert str(judgement.error).startswith("evaluation failed: operand 1 must be string")
            assert len(str(judgement.error)) < 400
    asked = [orjson.loads(text.split(b"\r\n\r\n", 1)[1]) for text in hostile.requests if b"dispatch" in text]
    assert [sorted(text["input"]["controls"]) for text in asked] == [
        sorted(CONTROLS),
        ["postgres.durability"],
        ["service.declared"],
    ]


def test_token_goes_to_the_server_that_is_configured_and_into_no_message(
    policy_bundle: Bundle, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T", "sesame-open")
    hostile.introduction = http(b'{"message": "no"}', "401 Unauthorized")
    settings = EngineSettings("opa", url=hostile.url, token=Secret("env:T"))
    with pytest.raises(EngineError, match=r"HTTP 401: no; check engine\.token") as refused:
        open_engine(settings, policy_bundle)
    assert "sesame" not in str(refused.value)
    assert b"Authorization: Bearer sesame-open\r\n" in hostile.requests[0]
    assert "sesame" not in repr(Address.of(hostile.url, token="sesame-open", ca=None))


def test_nobody_there_is_refused_with_the_reason(policy_bundle: Bundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(EngineError, match=r"did not answer .*Connection refused"):
        open_engine(EngineSettings("opa", url=f"http://127.0.0.1:{port}"), policy_bundle)


@pytest.mark.parametrize(
    "url",
    [
        "http://opa.example:8181",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "ftp://127.0.0.1",
        "127.0.0.1:8181",
        "https://",
        "https://opa.example/v1",
        "https://opa.example?x",
        "https://name:secret@opa.example",
        "https://opa.example:99999",
        "http://[::1",
        "unix:///run/opa",
    ],
)
def test_url_that_is_unsafe_or_unclear_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"engine\.url must be like https://") as refused:
        Address.of(url, token=None, ca=None)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8181", "http://[::1]:8181", "http://localhost", "https://opa:8181/"])
def test_url_of_this_machine_or_of_https_is_taken(url: str) -> None:
    assert Address.of(url, token=None, ca=None).host in {"127.0.0.1", "::1", "localhost", "opa"}
