from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardian.errors import ConfigError
from guardian.redact import classify, is_redacted, parse_key, redact
from guardian.settings import Secret

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))
SECRET = "hunter2-CANARY"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


def one(value: object, name: str = "x", *, sensitive: tuple[str, ...] = (), keep: tuple[str, ...] = ()) -> Any:
    return redact({name: value}, sensitive=sensitive, key=KEY, keep=keep).attributes[name]


def test_sensitive_value_becomes_a_keyed_fingerprint_with_its_pointer() -> None:
    result = redact({"settings": {"a/b": "cp %p", "c": "on"}}, sensitive=["/settings/a~1b"], key=KEY)
    value = result.attributes["settings"]["a/b"]
    assert is_redacted(value)
    assert value["class"] == "unknown"
    assert result.attributes["settings"]["c"] == "on"
    assert result.pointers == ("/settings/a~1b",)


def test_fingerprint_tells_secrets_apart_and_needs_the_key() -> None:
    first, again, other = (one(text, sensitive=("/x",)) for text in ("a", "a", "b"))
    assert first == again != other
    assert redact({"x": "a"}, sensitive=["/x"], key=bytes(32)).attributes["x"] != first


@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_absence_of_a_secret_stays_visible(empty: object) -> None:
    assert one(empty, sensitive=("/x",)) == empty


def test_star_stands_for_any_text_within_one_segment_in_any_case() -> None:
    attributes = {"env": [{"value": "a"}, {"value": "b"}], "set": {"App.PassWord": "c", "app.user": "d"}}
    result = redact(attributes, sensitive=["/env/*/value", "/set/*.*passw*"], key=KEY)
    assert result.pointers == ("/env/0/value", "/env/1/value", "/set/App.PassWord")


def test_kept_path_is_exempt_with_all_below_it() -> None:
    assert one({"y": "password=a"}, sensitive=("/x/y",), keep=("/x",)) == {"y": "password=a"}
    assert is_redacted(one("cp", sensitive=("/x",), keep=("/X",)))


LOOKS = {
    "url": f"postgresql://erp:{SECRET}@db/erp",
    "conninfo": f"host=db password={SECRET}",
    "ldap option": f"ldapbindpasswd={SECRET}",
    "radius option": f'radiussecrets="{SECRET}"',
    "environment": f"PGPASSWORD={SECRET} pg_dump",
    "flag": f"backup --token {SECRET}",
    "long flag": f"--smtp-password={SECRET}",
    "variable of AWS": f"AWS_SECRET_ACCESS_KEY={SECRET}",
    "short variable": f"DB_PASS={SECRET}",
    "curl": f"curl -u erp:{SECRET} http://x",
    "redis": f"requirepass {SECRET}",
    "mysql": f"/usr/bin/mysql -uroot -h mysql.internal -p{SECRET} erp",
    "mysqldump": f"mysqldump \\\n  -p'{SECRET}' erp > dump; ls",
    "mysqladmin": f"until mysqladmin -p{SECRET} ping; do sleep 1; done",
    "mariadb-dump": f"mariadb-dump -p{SECRET}",
    "flag inside a word": f"run.--db-token {SECRET}",
    "header": f"Authorization: Basic {SECRET}",
    "json": f'{{"spec":{{"adminPassword":"{SECRET}"}}}}',
    "env in json": f'[{{"name":"DB_PASSWORD_1","value":"{SECRET}"}}]',
    "scram": f"SCRAM-SHA-256$4096:{SECRET}",
    "md5": "md5" + "0a" * 16,
    "bcrypt": "$2b$12$" + SECRET.replace("-", "") + "abcdefghijk",
    "private key": f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}",
    "aws": "AKIA" + "ABCDEFGHIJKLMNOP",
    "jwt": "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
    "jwt behind other text": "session-eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
    "github": "ghp_" + "a1" * 18,
}


@pytest.mark.parametrize("text", LOOKS.values(), ids=LOOKS)
def test_what_looks_like_a_secret_is_taken_out_wherever_it_stands(text: str) -> None:
    value = one(["fine", text])
    assert value[0] == "fine"
    assert is_redacted(value[1])
    assert value[1]["class"] == "credential"


@pytest.mark.parametrize(
    "text",
    [
        "scram-sha-256",
        "clientcert=verify-full",
        "https://example.org/a:b@c",
        "permission denied for view pg_hba_file_rules",
        "password authentication failed",
        "/var/lib/postgresql/18/main/server.key",
        "0123456789abcdef0123456789abcdef",
        "registry.example:5000/token/secret:password-1.2@sha256:" + "0a" * 32,
        "docker run --user 1000:1000 --token-file /run/token",
        "--authentication-token-webhook",
        "psql -p 5432 -h db; psql -p5432",
        "ssh -p22 mysql.internal",
        "mysql -h db | ssh -p22 backup",
        "mysql -P3306 --port 3306 -p",
        '{"secretName":"erp-tls","key":"token"}',
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert one(text) == text


@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        (["server", "--password", SECRET, "--port", "1"], {2}),
        (["-Dx", "--db_password", SECRET], {2}),
        (["curl", "-u", f"erp:{SECRET}"], {2}),
        (["run", "-u", "1000:1000"], set()),
        (["--token", "--password"], set()),
        (["mysql", f"-p{SECRET}"], {1}),
        (["/usr/bin/mysqldump", "-u", "root", f"-p{SECRET}", "erp"], {3}),
        (["mariadb-dump", f"-p{SECRET}"], {1}),
        (["mysql", "-p", "erp"], set()),
        (["psql", "-p5432"], set()),
        (["ssh", "-p22", "mysql.internal"], set()),
        (["--token-file", "/run/token"], set()),
        (["--password", ""], set()),
        (["--password", 7, "x"], set()),
    ],
)
def test_argument_that_a_flag_announces_as_secret_is_taken_out(arguments: list[object], taken: set[int]) -> None:
    found = one(arguments)
    assert {place for place, item in enumerate(found) if is_redacted(item)} == taken
    assert all(found[place]["class"] == "credential" for place in taken)
    assert one(found) == found


def test_class_is_judged_by_name_look_and_entropy() -> None:
    assert classify("db_password", "x") == "credential"
    assert classify("x", "key is q7Zp2LkV9sXw4TbN8mRc") == "credential"
    assert classify("x", ["a", {"b": "token=abc"}]) == "credential"
    assert classify("archive_command", "cp %p /archive/%f") == "unknown"
    assert classify("x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1") == "unknown"


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_redacting_twice_changes_nothing(attributes: dict[str, Any]) -> None:
    first = redact(attributes, sensitive=["/*/a", "/b", "/*/0"], key=KEY)
    second = redact(first.attributes, sensitive=["/*/a", "/b", "/*/0"], key=KEY)
    assert (second.attributes, second.pointers) == (first.attributes, first.pointers)


@given(json_values, st.text(max_size=6), st.sampled_from(sorted(LOOKS)))
def test_no_secret_survives_at_any_depth(around: object, name: str, look: str) -> None:
    result = redact({"a": [around, {name: {"deep": LOOKS[look]}}]}, sensitive=(), key=KEY)
    assert LOOKS[look] not in orjson.dumps(result.attributes).decode()
    assert LOOKS[look] not in str(result.attributes)


def test_password_in_the_arguments_of_a_mysql_command_is_taken_out() -> None:
    found = one({"command": ["mysqladmin"], "args": ["ping", f"-p{SECRET}"]})
    assert [is_redacted(item) for item in found["args"]] == [False, True]
    untouched = {"command": ["sshd"], "args": ["-p2222"]}
    assert one(untouched) == untouched


HOSTILE = (
    *("a", "a1B2-", "-", "=", "\n", "\n---", '\n"', '"a', "://", "://a:", "a@", "a.", "$6$", "AKIA", "md50"),
    *("eyJ", "eyJ-", "eyJaaaaaaaa.", "eyJaaaaaaaa.eyJ", ".eyJ", "--a", "--token", "--tokentoken", "-u a", "-u=a:1"),
    *("bearer ", "password ", "token\t", "authorization:", "requirepass ", "pwd", "_pass ", "gh", "xox", "_live_"),
    *('"name":"', '"name":"token', '"token"', "-----BEGIN ", "-----BEGIN A ", "mysql ", "mysql -", "mariadb-a "),
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_does_not_hold_up_all_other_threads(piece: str) -> None:
    """`re` lets no other thread run, so a text costs what its length does, and hardly more than an ordinary one."""
    hinted = '://=---u mysql "value" md5 $ -----begin akia .eyj glpat- k_live_ secret bearer requirepass;\n'

    assert one(hinted) == hinted  # no look is spared by an earlier one

    def seconds(of: str, length: int) -> float:
        text = hinted + of * (length // len(of))
        started = time.thread_time()
        one(text)
        return time.thread_time() - started

    short, long = (min(seconds(piece, length) for _ in range(2)) for length in (25_000, 200_000))
    ordinary = min(seconds("workers = 4\n", 200_000) for _ in range(2))
    assert long < 8 * 3 * short + 0.02, (short, long)
    assert long < 2.5 * ordinary + 0.02, (ordinary, long)


def test_redaction_key_is_64_hex_characters_and_never_repeated(tmp_path: Path) -> None:
    file = tmp_path / "redaction.key"
    file.write_text("ab" * 32 + "\n", encoding="utf-8")
    assert parse_key(Secret(f"file:{file}")) == b"\xab" * 32
    file.write_text(SECRET, encoding="utf-8")
    with pytest.raises(ConfigError, match="64 hexadecimal") as caught:
        parse_key(Secret(f"file:{file}", "guardian.yaml:9: keys.redaction: "))
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("guardian.yaml:9: ")
