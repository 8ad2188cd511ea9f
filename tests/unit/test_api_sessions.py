"""Sessions, addresses, groups of accesses and environments of children: what needs no server to be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request

from guardian.api.auth import IDLE_S, LONGEST_S, PERMISSIONS, Permission, Sessions
from guardian.api.limits import Limits
from guardian.serving.child import environment_for_child
from guardian.settings import ApiSettings
from guardian.store.tables import AccessRow
from guardian.usecases.access import grouped
from tests.reading_support import environment

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_idle_session_ends() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    session = sessions.begin("t")
    clock.now += IDLE_S
    assert sessions.token_of(session) == "t"
    clock.now += IDLE_S + 1
    assert sessions.token_of(session) is None


def test_a_session_in_use_ends_all_the_same() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    session = sessions.begin("t")
    while clock.now < 1000 + LONGEST_S:
        assert sessions.token_of(session) == "t"
        clock.now += IDLE_S / 2
    clock.now += 1
    assert sessions.token_of(session) is None


def test_many_logins_of_one_token_end_its_own_oldest_session_and_no_other() -> None:
    sessions = Sessions(Clock())
    other = sessions.begin("other")
    made = [sessions.begin("t") for _ in range(30)]
    assert sessions.token_of(other) == "other"
    assert sessions.token_of(made[0]) is None
    assert sessions.token_of(made[-1]) == "t"
    assert len(sessions) == 21


def test_session_ids_are_never_alike() -> None:
    sessions = Sessions(Clock())
    assert len({sessions.begin("t") for _ in range(200)}) == 200


def test_only_those_roles_may_do_what_the_table_says() -> None:
    assert {role for role, may in PERMISSIONS.items() if Permission.READ in may} == {
        "auditor",
        "operator",
        "approver",
        "admin",
    }
    assert {role for role, may in PERMISSIONS.items() if Permission.PACK in may} == {"auditor", "admin"}
    assert {role for role, may in PERMISSIONS.items() if Permission.METRICS in may} == {"operator", "admin"}


def asked(client: str, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return Request({"type": "http", "headers": headers, "client": (client, 1)})


def test_x_forwarded_for_is_believed_behind_a_proxy_alone_and_its_last_word_only() -> None:
    alone, behind = Limits(ApiSettings()), Limits(ApiSettings(behind_proxy=True))
    assert alone.address(asked("192.0.2.1", "203.0.113.9")) == "192.0.2.1"
    assert behind.address(asked("192.0.2.1", "203.0.113.9, 198.51.100.4")) == "198.51.100.4"
    assert behind.address(asked("192.0.2.1", "203.0.113.9", "198.51.100.4")) == "198.51.100.4"
    assert behind.address(asked("192.0.2.1")) == "192.0.2.1"
    assert behind.address(asked("192.0.2.1", "203.0.113.9, nonsense")) == "unknown"


def test_ports_that_some_proxies_write_into_x_forwarded_for_put_nobody_among_the_unknown() -> None:
    behind = Limits(ApiSettings(behind_proxy=True))
    assert behind.address(asked("192.0.2.1", "198.51.100.4:4711")) == "198.51.100.4"
    assert behind.address(asked("192.0.2.1", "[2001:db8::1]:4711")) == behind.address(asked("2001:db8::1"))
    assert behind.address(asked("192.0.2.1", "[::ffff:198.51.100.4]")) == "198.51.100.4"


def test_one_customers_ipv6_network_counts_as_one_address() -> None:
    limits = Limits(ApiSettings())
    assert limits.address(asked("2001:db8:1:2::1")) == limits.address(asked("2001:db8:1:2:ffff::9"))
    assert limits.address(asked("2001:db8:1:2::1")) != limits.address(asked("2001:db8:1:3::1"))
    assert limits.address(asked("::ffff:192.0.2.1")) == "192.0.2.1"


def test_accesses_are_grouped_by_token_role_route_and_status() -> None:
    def row(at: str, token: str, status: int) -> AccessRow:
        return AccessRow(at=at, token=token, role="auditor", route="GET /v1/records", status=status)

    found = grouped([row("2", "a", 200), row("1", "a", 200), row("3", "a", 404), row("4", "b", 200)])
    assert [(one["token"], one["status"], one["count"], one["from"], one["until"]) for one in found] == [
        ("a", 200, 2, "1", "2"),
        ("a", 404, 1, "3", "3"),
        ("b", 200, 1, "4", "4"),
    ]


def test_a_child_is_given_the_secrets_it_needs_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = environment(tmp_path)
    for name in ("ERP_DSN", "HIDDEN_DSN", "AWS_SECRET_ACCESS_KEY", "HARMLESS"):
        monkeypatch.setenv(name, "value")
    given = environment_for_child(settings, needed=[])
    assert {"ERP_DSN", "HIDDEN_DSN", "AWS_SECRET_ACCESS_KEY"}.isdisjoint(given)
    assert given["HARMLESS"] == "value"
    needed = environment_for_child(settings, needed=[settings.collectors[0]])
    assert "ERP_DSN" in needed
    assert "HIDDEN_DSN" not in needed
