"""Attack 28, an auditor's account overreaches; and what else a network may send to the API."""

from __future__ import annotations

import hmac
import re
import secrets
import socket
from typing import TYPE_CHECKING, Any

import pytest
import requests

from guardian.usecases import packs, tokens
from tests.api_support import Api, await_true, bearer, settings_with_api, token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardian.settings import Settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_with_api(tmp_path_factory.mktemp("attacked"), ', hosts: ["127.0.0.1", evidence.example]')


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[Api]:
    with Api(settings) as running:
        yield running
        assert "Traceback" not in running.said()


@pytest.fixture(scope="module")
def auditor(settings: Settings) -> str:
    return token(settings, "auditor-of-one", services=["erp-plant1"])


@pytest.fixture(scope="module")
def hidden(api: Api, settings: Settings) -> dict[str, Any]:
    """A record of the service that the auditor may not read."""
    rows = api.get("/v1/records?limit=200", token(settings, "sees-all")).json()["records"]
    return next(row for row in rows if row["service"] == "secret-plant2" and row["kind"] == "restore-drill")


def raw(api: Api, data: bytes, wait_s: float = 20) -> bytes:
    """Send bytes as they are, and return all that comes back until the server is silent or closes."""
    host, port = api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=wait_s) as connection:
        received = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                received += part
        except OSError:  # a reset: the server closed on what it did not read
            pass
    return received


def answers(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


# 28: an auditor's account overreaches


def test_attack_28_an_auditor_asks_for_another_service_in_every_way(
    api: Api, auditor: str, hidden: dict[str, Any]
) -> None:
    index, record_id = hidden["index"], hidden["recordId"]
    for path in (
        f"/v1/records/{index}",
        f"/v1/records/{record_id}",
        f"/v1/records/{record_id.upper()}",
        f"/v1/records/0{index}",
        f"/v1/records/%30{index}",
        f"/v1/records/{index}/envelope",
        f"/v1/records/{index}?service=secret-plant2",
        f"/v1/records/./{index}",
        f"/v1/services/../records/{index}",
        f"//v1/records/{index}",
        "/v1/services/secret-plant2",
        "/v1/services/secret%2Dplant2",
        "/v1/services/erp-plant1%2F..%2Fsecret-plant2",
        "/v1/services/erp-plant1%00secret-plant2",
        "/v1/services/SECRET-PLANT2",
        "/tile/entries/000",
        "/tile/entries/000.p/17",
        "/tile/0/../entries/000.p/17",
        "/tile/0/%2e%2e/entries/000.p/17",
        "/tile//entries/000.p/17",
        "/tile/%65ntries/000.p/17",
    ):
        request = requests.Request("GET", api.url, headers=bearer(auditor)).prepare()
        request.url = api.url + path  # as it is: nothing normalised
        answered = api.session.send(request, timeout=30, allow_redirects=False)
        assert answered.status_code in {404, 422}, (path, answered.status_code)
        assert "hidden" not in answered.text, path
        assert "weekly" not in answered.text, path


@pytest.mark.parametrize(
    "query",
    [
        "service=secret-plant2",
        "asset=secret-asset",
        "service=secret-plant2&control=postgres.transport",
        "verdict=fail&control=postgres.transport",
        "service=erp-plant1%27%20OR%20%271%27=%271",
        "asset=%25",
        "kind=restore-drill&service=secret-plant2",
        "since=2000-01-01&until=2100-01-01",
        "cursor=9999",
    ],
)
def test_attack_28_a_filter_widens_nothing(api: Api, auditor: str, query: str) -> None:
    for order in ("newest", "oldest"):
        answered = api.get(f"/v1/records?limit=200&order={order}&{query}", auditor)
        assert answered.status_code == 200
        assert all(
            row["service"] == "erp-plant1" or row["kind"] == "key-event" for row in answered.json()["records"]
        ), query
        assert "secret-asset" not in str(answered.json()["records"])


def test_attack_28_scope_cannot_be_named_by_the_caller(api: Api, auditor: str, hidden: dict[str, Any]) -> None:
    claims = {
        "X-Guardian-Role": "admin",
        "X-Forwarded-User": "root",
        "X-Original-URL": "/metrics",
        "X-Rewrite-URL": "/metrics",
        "X-HTTP-Method-Override": "DELETE",
        "Cookie": "role=admin; services=null",
    }
    assert api.get(f"/v1/records/{hidden['index']}", auditor, headers=claims).status_code == 404
    assert api.get("/metrics", auditor, headers=claims).status_code == 403
    for parameter in ("role=admin", "services=secret-plant2", "scope=all", "token=x"):
        assert api.get(f"/v1/records?{parameter}", auditor).status_code == 422


def test_attack_28_a_pack_of_the_other_service_is_not_to_be_had(api: Api, settings: Settings, auditor: str) -> None:
    other = token(settings, "other-packer")
    theirs = api.send("POST", "/v1/packs", other).json()["id"]
    await_true("it is done", lambda: api.get(f"/v1/packs/{theirs}", other).json()["state"] == "done")
    for path in (
        theirs,
        f"{theirs}/file",
        f"{theirs.upper()}/file",
        f"../packs/{theirs}/file",
        f"..%2f..%2f{theirs}.zip/file",
        f"{theirs}.zip/file",
        f"{theirs}%00/file",
        "%2e%2e%2fguardian.db/file",
        "..%2f..%2fkeys%2frecord.pem/file",
    ):
        answered = api.get(f"/v1/packs/{path}", auditor)
        assert answered.status_code == 404, path
        assert b"PK" not in answered.content[:2]


def test_attack_28_a_revoked_auditor_keeps_nothing(api: Api, settings: Settings) -> None:
    given = token(settings, "fired")
    logged_in = api.send("POST", "/console/login", headers={"Origin": api.url}, data={"token": given})
    cookie = logged_in.headers["Set-Cookie"].split(";")[0]
    pack = api.send("POST", "/v1/packs", given).json()["id"]
    await_true("it is done", lambda: api.get(f"/v1/packs/{pack}", given).json()["state"] == "done")
    api.session.cookies.clear()
    tokens.revoke(settings, "fired")
    for path in ("/v1/records", f"/v1/packs/{pack}", f"/v1/packs/{pack}/file", "/checkpoint"):
        assert api.get(path, given).status_code == 401
        assert api.get(path, headers={"Cookie": cookie}).status_code == 401


# sessions


def test_a_session_that_somebody_chose_beforehand_is_not_taken_over(api: Api, settings: Settings) -> None:
    given, chosen = token(settings, "victim"), secrets.token_urlsafe(32)
    answered = api.send(
        "POST", "/console/login", headers={"Origin": api.url, "Cookie": f"guardian={chosen}"}, data={"token": given}
    )
    new = re.match(r"guardian=([^;]+)", answered.headers["Set-Cookie"])
    api.session.cookies.clear()
    assert new is not None
    assert new[1] != chosen
    assert len(new[1]) == 43
    assert api.get("/v1/records", headers={"Cookie": f"guardian={chosen}"}).status_code == 401


def test_a_login_ends_the_session_that_came_with_it(api: Api, settings: Settings) -> None:
    given = token(settings, "twice")
    first = api.send("POST", "/console/login", headers={"Origin": api.url}, data={"token": given})
    old = first.headers["Set-Cookie"].split(";")[0]
    api.session.cookies.clear()
    sent = {"Origin": api.url, "Cookie": old}
    api.send("POST", "/console/login", headers=sent, data={"token": given})
    api.session.cookies.clear()
    assert api.get("/v1/records", headers={"Cookie": old}).status_code == 401


def test_a_login_from_another_site_begins_no_session(api: Api, settings: Settings) -> None:
    given = token(settings, "tricked")
    for headers in ({"Origin": "https://evil.example"}, {}, {"Origin": api.url, "Sec-Fetch-Site": "cross-site"}):
        answered = api.send("POST", "/console/login", headers=headers, data={"token": given})
        assert answered.status_code == 403
        assert "Set-Cookie" not in answered.headers


def test_guessed_sessions_are_nobodys(api: Api) -> None:
    for guess in ("1", "A" * 43, "../x", "guardian", "%00", '"', "A" * 4000):
        assert api.get("/v1/records", headers={"Cookie": f"guardian={guess}"}).status_code in {401, 400}


# tokens


@pytest.mark.parametrize("where", ["/v1/records?token={}", "/checkpoint?access_token={}", "/console/?t={}"])
def test_a_token_in_a_url_is_refused_even_a_good_one(api: Api, auditor: str, where: str) -> None:
    for headers in ({}, bearer(auditor)):
        answered = api.get(where.format(auditor), headers=headers)
        assert answered.status_code == 400
        assert answered.json()["type"] == "urn:guardian:problem:token-in-url"
        assert auditor not in answered.text


def test_a_token_is_in_no_log(api: Api, settings: Settings) -> None:
    given = token(settings, "quiet")
    api.get("/v1/records", given)
    api.get(f"/v1/records?x={given}", given)
    api.get("/v1/records", given + "x")
    assert given not in api.said()
    assert given[8:40] not in api.said()


def test_tokens_are_compared_in_constant_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    real = hmac.compare_digest

    def counting(first: str, second: str) -> bool:
        compared.append((first, second))
        return real(first, second)

    given = token(settings, "timed")
    book = tokens.Book(settings)
    monkeypatch.setattr(hmac, "compare_digest", counting)
    assert book.holder(given) is not None
    assert compared == [(tokens.digest_of(given), tokens.digest_of(given))]
    book.close()


@pytest.mark.parametrize(
    "header",
    [
        "Bearer {0} {0}",
        "Bearer {0},{0}",
        "Bearer\t{0}",
        "Bearer  {0}",
        "Token {0}",
        "Basic {0}",
        "{0}",
        "Bearer {0}\xa0",
        "Bearer {0}A",
        'Bearer "{0}"',
    ],
)
def test_only_one_plain_bearer_token_lets_in(settings: Settings, auditor: str, header: str) -> None:
    from guardian.api.auth import bearer as parse

    assert parse([header.format(auditor)]) is None
    assert parse([f"Bearer {auditor}"]) == auditor
    assert parse([f"Bearer {auditor}", f"Bearer {auditor}"]) is None
    del settings


# the wire


def head(api: Api, path: str, given: str, *more: str, method: str = "GET") -> bytes:
    host = api.url.removeprefix("http://")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {given}", *more, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def test_a_request_hidden_in_the_body_of_another_is_not_answered(api: Api, auditor: str) -> None:
    inner = head(api, "/metrics", auditor)
    for sent in (
        head(api, "/v1/packs", auditor, "Content-Length: 4", "Transfer-Encoding: chunked", method="POST") + inner,
        head(api, "/v1/packs", auditor, "Content-Length: 0", f"Content-Length: {len(inner)}", method="POST") + inner,
        head(api, "/v1/packs", auditor, "Transfer-Encoding: xchunked", method="POST") + b"0\r\n\r\n" + inner,
        head(api, "/v1/packs", auditor, "Transfer-Encoding : chunked", method="POST") + b"0\r\n\r\n" + inner,
        head(api, "/v1/packs", auditor, "Content-Length: +4", method="POST") + inner,
        head(api, "/v1/packs", auditor, "Content-Length: 0x4", method="POST") + inner,
        head(api, "/v1/packs", auditor, "X: y\nTransfer-Encoding: chunked", method="POST") + inner,
    ):
        got = answers(raw(api, sent))
        assert 200 not in got, sent
        assert len(got) <= 1 or got[0] == 400, (sent, got)


def test_what_is_no_http_is_refused(api: Api) -> None:
    for sent in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n" * 200,
        b"A" * 70_000,
        b"GET /\r\n",
    ):
        got = answers(raw(api, sent))
        assert set(got) <= {400}, sent[:20]
    assert api.get("/healthz").status_code == 200


def test_names_of_other_hosts_are_not_served(api: Api, auditor: str) -> None:
    for name, status in (("evil.example", 400), ("127.0.0.1.evil.example", 400), ("EVIDENCE.example:8480", 200)):
        assert api.get("/v1/services", auditor, headers={"Host": name}).status_code == status, name
    twice = head(api, "/v1/services", auditor, "Host: evil.example")
    assert answers(raw(api, twice)) == [400]
    assert answers(raw(api, f"GET /v1/services HTTP/1.1\r\nAuthorization: Bearer {auditor}\r\n\r\n".encode())) == [400]
    assert api.get("/healthz", headers={"Host": "10.0.0.7"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/tile/../../etc/passwd",
        "/tile/..%2f..%2fkeys/log.pem",
        "/tile/0/x000/../000",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/64/000",
        "/tile/0/0000",
        "/tile/0/" + "x000/" * 60 + "000",
        "/tile/0/\u0660\u0660\u0660",
        "/tile/0/000%0a",
        "/tile/0/000/",
        "/tile/-1/000",
        "/tile/",
        "/console/static/..%2f..%2f..%2fauth.py",
        "/console/static/%2e%2e/pages.py",
    ],
)
def test_a_path_leads_nowhere_else(api: Api, settings: Settings, path: str) -> None:
    given = token(settings, f"walker-{secrets.token_hex(4)}")
    request = requests.Request("GET", api.url, headers=bearer(given)).prepare()
    request.url = api.url + path
    answered = api.session.send(request, timeout=30, allow_redirects=False)
    assert answered.status_code in {404, 400}, answered.status_code
    assert b"PRIVATE" not in answered.content
    assert b"import" not in answered.content


def test_huge_inputs_are_refused_small(api: Api, auditor: str) -> None:
    assert api.send("POST", "/v1/packs", auditor, data=b"x" * 65_537).status_code == 413
    assert api.send("POST", "/v1/packs", auditor, data=iter([b"x" * 1000] * 100)).status_code == 413
    lies = head(api, "/v1/packs", auditor, "Content-Length: 99999999999999999999", method="POST")
    assert set(answers(raw(api, lies))) <= {400, 413}
    assert api.get("/v1/records?asset=" + "a" * 7000, auditor).status_code == 422
    assert api.get("/v1/" + "a" * 9000, auditor).status_code == 414
    many = {f"X-{number}": "y" for number in range(150)}
    assert api.get("/v1/records", auditor, headers=many).status_code == 431
    assert api.get("/v1/records", headers={"Authorization": "Bearer " + "g" * 30_000}).status_code in {401, 429}
    endless = b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000
    assert set(answers(raw(api, endless))) <= {400}
    assert api.get("/v1/records/" + "9" * 18, auditor).status_code == 404
    assert api.get("/v1/records?cursor=" + "9" * 30, auditor).status_code == 422
    assert api.get("/v1/records?cursor=-0", auditor).status_code == 200


def test_deep_json_is_refused(api: Api, auditor: str) -> None:
    deep = b"[" * 30_000 + b"]" * 30_000
    answered = api.send("POST", "/v1/packs", auditor, data=deep, headers={"Content-Type": "application/json"})
    assert answered.status_code in {400, 422}


def test_a_problem_repeats_no_secret_and_no_markup_as_such(api: Api, auditor: str) -> None:
    answered = api.get("/v1/records?kind=<script>alert(1)</script>", auditor)
    assert answered.headers["Content-Type"] == "application/problem+json"
    assert answered.headers["X-Content-Type-Options"] == "nosniff"
    canary = "gdn-like-secret-canary"
    sent = api.send("POST", "/v1/packs", auditor, json={"password": canary})
    assert sent.status_code == 422
    assert canary not in sent.text


def test_a_newline_in_a_query_makes_no_header(api: Api, auditor: str) -> None:
    answered = api.get("/v1/records?limit=1&asset=erp%0d%0aSet-Cookie:%20a=b", auditor)
    assert "Set-Cookie" not in answered.headers
    link = api.get("/v1/records?limit=1&service=erp-plant1", auditor).headers["Link"]
    assert "\n" not in link


def test_packs_are_named_by_ids_alone(settings: Settings) -> None:
    requests_ = packs.Requests(settings)
    for name in ("../guardian", "..", "", "a" * 36, "019aaf00-6f2e-7c1a-9d2b-5d8f3b1c2a10\n"):
        assert requests_.get(name, "x") is None
        assert requests_.file(name, "x") is None
    requests_.close()
