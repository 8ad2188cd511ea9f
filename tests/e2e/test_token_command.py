"""`guardian token`: made, listed and ended by a person."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.reading_support import environment
from tests.support import guardian

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    environment(folder)
    return folder


def test_a_token_is_alone_on_stdout_and_never_shown_again(place: Path) -> None:
    made = guardian("token", "add", "alice", "--role", "auditor", "--service", "erp-plant1", cwd=place)
    assert made.code == 0, made.stderr
    assert re.fullmatch(r"gdn_[A-Za-z0-9_-]{43}\n", made.stdout)
    assert "alice (auditor)" in made.stderr
    assert made.stdout.strip() not in made.stderr
    listed = guardian("token", "list", "--format", "json", cwd=place)
    [row] = [one for one in json.loads(listed.stdout)["tokens"] if one["name"] == "alice"]
    assert (row["role"], row["services"], row["state"]) == ("auditor", ["erp-plant1"], "active")
    assert made.stdout.strip() not in listed.stdout
    assert "hash" not in listed.stdout
    table = guardian("token", "list", cwd=place)
    assert "alice" in table.stdout
    assert "erp-plant1" in table.stdout


def test_a_revoked_token_is_listed_as_such_and_its_name_is_used_up(place: Path) -> None:
    guardian("token", "add", "bob", "--role", "operator", cwd=place)
    ended = guardian("token", "revoke", "bob", cwd=place)
    assert (ended.code, ended.stdout) == (0, "token bob is revoked\n")
    rows = json.loads(guardian("token", "list", "--format", "json", cwd=place).stdout)["tokens"]
    assert next(one["state"] for one in rows if one["name"] == "bob") == "revoked"
    again = guardian("token", "add", "bob", "--role", "operator", cwd=place)
    assert again.code == 2
    assert again.stdout == ""
    assert "used once" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "x", "--role", "king"], "auditor, operator, approver, admin"),
        (["add", "x", "--role", "auditor", "--service", "erp-plant9"], "erp-plant1"),
        (["add", "x", "--role", "auditor", "--lifetime", "90"], "with its unit"),
        (["add", "x", "--role", "auditor", "--lifetime", "9999w"], "five years"),
        (["add", "x", "--role", "auditor", "--since", "soon"], "no time"),
        (["add", "x", "--role", "auditor", "--since", "2026-11-24T02:00:00"], "no offset"),
        (["add", "x", "--role", "auditor", "--since", "2026-11-24", "--until", "2026-11-01"], "before --since"),
        (["add", "x y", "--role", "auditor"], "no name"),
        (["revoke", "nobody"], "guardian token list"),
    ],
)
def test_a_mistake_is_told_with_the_way_out(place: Path, arguments: list[str], said: str) -> None:
    ran = guardian("token", *arguments, cwd=place)
    assert (ran.code, ran.stdout) == (2, "")
    assert said in ran.stderr.replace("\n", " ")
