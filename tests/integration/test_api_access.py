"""Tokens and sessions: what ends them, what they may not see, how much they may ask for, and what is kept of it."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from guardian.usecases import access, tokens
from guardian.usecases.ledger import Ledger
from tests.api_support import Api, await_true, settings_with_api, token
from tests.reading_support import START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guardian.settings import Settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_with_api(tmp_path_factory.mktemp("access"))


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[Api]:
    with Api(settings) as running:
        yield running


def database(settings: Settings) -> sqlite3.Connection:
    return sqlite3.connect(str(settings.storage.database), timeout=30)


def events(settings: Settings) -> list[dict[str, Any]]:
    with Ledger(settings, writable=False) as ledger:
        found = [record for record in ledger.records() if record.kind == "access-event"]
    return [dict(record.predicate) for record in found]


def test_a_revoked_token_ends_with_the_next_request(api: Api, settings: Settings) -> None:
    given = token(settings, "leaver")
    assert api.get("/v1/records", given).status_code == 200
    tokens.revoke(settings, "leaver")
    answered = api.get("/v1/records", given)
    assert answered.status_code == 401
    assert 'error="invalid_token"' in answered.headers["WWW-Authenticate"]


def test_a_token_ends_when_its_time_is_over(api: Api, settings: Settings) -> None:
    given = token(settings, "short", lifetime_s=3)
    assert api.get("/checkpoint", given).status_code == 200
    await_true("it ends", lambda: api.get("/checkpoint", given).status_code == 401)


def test_the_database_has_no_token_but_its_hash_and_when_it_was_used(api: Api, settings: Settings) -> None:
    given = token(settings, "hashed")
    api.get("/v1/records", given)
    with database(settings) as connection:
        [(kept, used)] = connection.execute("SELECT hash, last_used_at FROM state_token WHERE name = 'hashed'")
        everything = "\n".join(connection.iterdump())
    assert kept == tokens.digest_of(given)
    assert used
    assert given not in everything
    assert given[4:] not in everything


def test_a_token_of_one_service_sees_that_service_and_nothing_of_the_other(api: Api, settings: Settings) -> None:
    scoped = token(settings, "plant1", services=["erp-plant1"])
    everything = api.get("/v1/records?limit=200", token(settings, "all")).json()["records"]
    mine = [row["index"] for row in everything if row["service"] == "erp-plant1" or row["kind"] == "key-event"]
    other = next(row for row in everything if row["service"] == "secret-plant2")
    assert [row["index"] for row in api.get("/v1/records?limit=200", scoped).json()["records"]] == mine
    hidden = api.get(f"/v1/records/{other['index']}", scoped)
    absent = api.get("/v1/records/99999", scoped)
    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace(str(other["index"]), "99999") == absent.text
    for path in (
        f"/v1/records/{other['recordId']}",
        f"/v1/records/{other['index']}/envelope",
        "/v1/services/secret-plant2",
        "/tile/entries/000.p/1",
        "/tile/entries/000.p/17",
    ):
        assert api.get(path, scoped).status_code == 404, path
    assert [one["name"] for one in api.get("/v1/services", scoped).json()["services"]] == ["erp-plant1"]
    for path in ("/v1/records?limit=200", "/v1/services", "/v1/controls", "/v1/drills", "/v1/coverage", "/checkpoint"):
        answered = api.get(path, scoped)
        assert answered.status_code == 200, path
        assert "secret-" not in answered.text, path
        assert "hidden-owner" not in answered.text, path


def test_a_token_of_a_period_sees_what_ended_in_it(api: Api, settings: Settings) -> None:
    rows = api.get("/v1/records?limit=200&order=oldest", token(settings, "any")).json()["records"]
    drills = [row for row in rows if row["kind"] == "restore-drill"]
    since, until = drills[1]["time"], drills[-1]["time"]
    scoped = token(settings, "some", since=START.fromisoformat(since), until=START.fromisoformat(until))
    seen = api.get("/v1/records?limit=200&order=oldest", scoped).json()["records"]
    assert [row["index"] for row in seen] == [row["index"] for row in rows if since <= row["time"] < until]
    assert api.get(f"/v1/records/{drills[-1]['index']}", scoped).status_code == 404


def test_requests_above_the_limit_wait_and_another_token_does_not(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, records=False)
    settings.path.write_text(settings.path.read_text().replace("requestsPerMinute: 100000", "requestsPerMinute: 5"))
    first, second = token(settings, "first"), token(settings, "second")
    with Api(settings) as api:
        answers = [api.get("/v1/records", first) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert answers[5].headers["Content-Type"] == "application/problem+json"
        assert 1 <= int(answers[5].headers["Retry-After"]) <= 60
        assert api.get("/v1/records", second).status_code == 200
        without = [api.get("/v1/records").status_code for _ in range(6)]
        assert without == [401] * 5 + [429]
        assert api.get("/v1/records", second).status_code == 200


def test_too_many_wrong_tokens_from_one_address_are_not_looked_up(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, records=False)
    good, unseen = token(settings, "good"), token(settings, "unseen")
    with Api(settings) as api:
        assert api.get("/v1/records", good).status_code == 200
        wrong = [api.get("/v1/records", f"gdn_{number:043d}").status_code for number in range(12)]
        assert wrong == [401] * 10 + [429] * 2
        assert api.get("/v1/records", good).status_code == 200  # was good lately: nobody locks it out
        assert api.get("/v1/records", unseen).status_code == 429


def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_names(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, ", behindProxy: true", records=False)
    with Api(settings) as api:
        for number in range(12):
            spoofed = {"X-Forwarded-For": f"10.0.0.{number}, 192.0.2.7"}
            last = api.get("/v1/records", f"gdn_{number:043d}", headers=spoofed).status_code
        assert last == 429
        other = api.get("/v1/records", f"gdn_{99:043d}", headers={"X-Forwarded-For": "192.0.2.7, 192.0.2.8"})
        assert other.status_code == 401


def test_what_was_read_is_signed_and_counted_without_what_was_asked_for(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path)
    given, other = token(settings, "reader"), token(settings, "operator-1", "operator")
    with Api(settings) as api:
        for _ in range(7):
            api.get("/v1/records?asset=erp", given)
        api.get("/v1/records/4", given)
        api.get("/v1/records/5", given)
        api.get("/v1/records/4444", given)
        api.get("/v1/records?asset=erp&nonsense=canary-value", given)
        api.send("POST", "/v1/packs", other)
        api.get("/v1/canary-path", other)
        api.get("/metrics", other)
        api.get("/healthz", other)
        api.get("/v1/records")
        assert api.stop() == 0
    found = [entry for event in events(settings) for entry in event.get("accesses", ())]
    counted = {(one["token"], one["role"], one["route"], one["status"]): one["count"] for one in found}
    assert counted == {
        ("reader", "auditor", "GET /v1/records", 200): 7,
        ("reader", "auditor", "GET /v1/records/{id}", 200): 2,
        ("reader", "auditor", "GET /v1/records/{id}", 404): 1,
        ("reader", "auditor", "GET /v1/records", 422): 1,
        ("operator-1", "operator", "POST /v1/packs", 403): 1,
        ("operator-1", "operator", "GET unknown", 404): 1,
    }
    assert all(one["from"] <= one["until"] for one in found)
    assert "canary" not in str(events(settings))
    with database(settings) as connection:
        assert connection.execute("SELECT count(*) FROM state_access").fetchone() == (0,)


def test_accesses_are_signed_while_it_serves_once_there_are_enough(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, records=False)
    given = token(settings, "busy")
    with Api(settings) as api:
        for _ in range(access.BATCH + 1):
            assert api.get("/checkpoint", given).status_code == 200
        signed = await_true("a record of accesses", lambda: events(settings))
        assert signed[0]["accesses"][0]["count"] == access.BATCH
    assert sum(one["count"] for event in events(settings) for one in event["accesses"]) == access.BATCH + 1


def test_an_access_that_cannot_be_written_down_gets_no_answer(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path)
    given = token(settings, "watched")
    with Api(settings) as api:
        assert api.get("/v1/records", given).status_code == 200
        with database(settings) as connection:
            connection.execute("ALTER TABLE state_access RENAME TO elsewhere")
        answered = api.get("/v1/records/4", given)
        assert answered.status_code == 503
        assert answered.json()["type"] == "urn:guardian:problem:unavailable"
        assert "elsewhere" not in answered.text
        assert "state_access" not in answered.text
        with database(settings) as connection:
            connection.execute("ALTER TABLE elsewhere RENAME TO state_access")
        assert api.get("/v1/records/4", given).status_code == 200


def test_a_log_that_cannot_be_read_is_told_without_what_is_inside_and_no_token_is_logged(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path)
    given = token(settings, "unlucky")
    with Api(settings) as api:
        with database(settings) as connection:
            connection.execute("ALTER TABLE log_entry RENAME TO elsewhere")
        answered = api.get("/v1/records/4", given)
        assert answered.status_code == 503
        assert answered.json()["detail"] == "the evidence could not be read; the log of the API says why"
        api.await_log("api_evidence_not_read")
        with database(settings) as connection:
            connection.execute("ALTER TABLE elsewhere RENAME TO log_entry")
            connection.execute("ALTER TABLE state_token RENAME TO elsewhere")
        assert api.get("/v1/records/4", given).status_code == 503
        with database(settings) as connection:
            connection.execute("ALTER TABLE elsewhere RENAME TO state_token")
        assert api.get("/v1/records/4", given).status_code == 200
        assert given[4:] not in api.said()


def test_a_defect_is_a_problem_without_internals_and_its_trace_names_no_token(tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path)
    added = tokens.add(settings, "finder", "auditor")
    with Api(settings) as api:
        with database(settings) as connection:
            connection.execute("UPDATE state_token SET services = 'no json' WHERE name = 'finder'")
        answered = api.get("/v1/records/4", added.token)
        assert answered.status_code == 500
        assert answered.json()["type"] == "urn:guardian:problem:internal-error"
        assert "json" not in answered.json()["detail"].lower()
        api.await_log("JSONDecodeError")
        assert added.token[4:] not in api.said()


def test_two_signers_sign_each_access_once(settings: Settings, tmp_path: Path) -> None:
    settings = settings_with_api(tmp_path, records=False)
    tokens.prepare(settings)
    desk = access.Desk(settings)
    now = START
    desk.write(access.Access(now, "t", "auditor", "GET /v1/records", 200) for _ in range(40))
    batch = access._take(desk._database)
    with Ledger(settings, writable=True) as ledger:
        access._sign(ledger, batch)
        with pytest.raises(access._ElsewhereError):
            access._sign(ledger, batch)
    desk.close()
    assert [entry["count"] for event in events(settings) for entry in event["accesses"]] == [40]


def login(api: Api, given: str, **headers: str) -> Any:
    sent = {"Origin": api.url, **headers}
    return api.send("POST", "/console/login", headers=sent, data={"token": given})


def cookie_of(answered: Any) -> str:
    return re.match(r"([^;]+)", answered.headers["Set-Cookie"])[1]  # type: ignore[index]  # it is there


def test_a_session_reads_as_its_token_does_and_ends_with_it(api: Api, settings: Settings) -> None:
    given = token(settings, "console-user")
    answered = login(api, given)
    assert answered.status_code == 303
    attributes = answered.headers["Set-Cookie"].lower()
    assert "httponly" in attributes
    assert "samesite=strict" in attributes
    assert given not in attributes
    api.session.cookies.clear()
    cookie = {"Cookie": cookie_of(answered)}
    assert api.get("/v1/records", headers=cookie).status_code == 200
    tokens.revoke(settings, "console-user")
    assert api.get("/v1/records", headers=cookie).status_code == 401


def test_a_cookie_changes_nothing_from_another_site(api: Api, settings: Settings) -> None:
    cookie = {"Cookie": cookie_of(login(api, token(settings, "surfer")))}
    api.session.cookies.clear()
    for headers in (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": api.url, "Sec-Fetch-Site": "cross-site"},
        {"Origin": api.url, "Sec-Fetch-Site": "same-site"},
    ):
        answered = api.send("POST", "/v1/packs", headers={**cookie, **headers})
        assert answered.status_code == 403, headers
        assert answered.json()["type"] == "urn:guardian:problem:cross-site"
    ours = {"Origin": api.url, "Sec-Fetch-Site": "same-origin"}
    assert api.send("POST", "/v1/packs", headers={**cookie, **ours}).status_code == 202


def test_after_a_logout_the_cookie_is_nobodys(api: Api, settings: Settings) -> None:
    cookie = {"Cookie": cookie_of(login(api, token(settings, "goer")))}
    api.session.cookies.clear()
    assert api.get("/v1/records", headers=cookie).status_code == 200
    assert api.send("POST", "/console/logout", headers={**cookie, "Origin": api.url}).status_code == 303
    api.session.cookies.clear()
    assert api.get("/v1/records", headers=cookie).status_code == 401
