# ruff: noqa: E501 -- a table of mistakes reads better unwrapped
from __future__ import annotations

import os
from pathlib import Path

import pytest

from guardian import config
from guardian.errors import ConfigError, UsageError
from guardian.model import Assurance, Mode, Tier
from guardian.settings import PostgresCollector, Secret, Settings
from verifiers.sources import FORMATS

EXAMPLE = """\
environment: production
services:
- {name: erp-plant1, owner: ops, escalation: oncall, tier: critical, tenancy: dedicated, dataClass: confidential,
   rto: 4h, rpo: 15m, recovery: {detect: 5m, decide: 10m, redirect: 5m}, dependsOn: [], match: [{collector: erp-db}],
   assets: [{name: erp, type: odoo, assurance: exact, source: {postgres: erp-db, database: erp, filestore: /srv/fs},
             backups: [{name: nightly, format: pg_dump, path: backups/erp, every: 24h}]}]}
collectors: [{name: erp-db, type: postgres, dsn: "env:ERP_DSN"}]
engine: {type: wasm}
controls: {postgres.transport: {mode: {critical: deny, standard: warn}, params: {days: 3}}, service.declared: {mode: off}}
schedules: [{job: drill, asset: erp, cron: "0 3 * * *", timeZone: Europe/Berlin, grace: 1h}]
sandbox: {provider: bwrap, acceptNone: [], diskQuota: 10GiB}
storage: {database: .guardian/guardian.db, objects: .guardian/objects}
keys: {record: "file:keys/record.pem", log: "file:keys/log.pem", redaction: "file:keys/redaction.key"}
"""


def load(folder: Path, text: str, *, check_secrets: bool = False) -> Settings:
    path = folder / "guardian.yaml"
    path.write_text(text, encoding="utf-8")
    return config.load(path, check_secrets=check_secrets)


def complaints(folder: Path, text: str, *, check_secrets: bool = False) -> list[str]:
    """The complaints about `text`, without the name of the file."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, check_secrets=check_secrets)
    lines = str(caught.value).split("\n")
    prefix = f"{folder / 'guardian.yaml'}:"
    assert all(line.startswith(prefix) for line in lines), lines
    return [line.removeprefix(prefix) for line in lines]


def test_design_example_becomes_settings(tmp_path: Path) -> None:
    settings = load(tmp_path, EXAMPLE)
    (service,) = settings.services
    (asset,) = service.assets
    assert (service.tier, service.rto_s, service.rpo_s) == (Tier.CRITICAL, 14_400, 900)
    assert (service.recovery.total_s, service.depends_on) == (1200, ())
    assert (asset.service, asset.assurance, asset.source.filestore) == ("erp-plant1", Assurance.EXACT, "/srv/fs")
    assert asset.backups[0].path == str(tmp_path / "backups/erp")
    assert asset.backups[0].every_s == 86_400
    assert settings.controls["postgres.transport"].mode == {Tier.CRITICAL: Mode.DENY, Tier.STANDARD: Mode.WARN}
    assert settings.controls["service.declared"].mode == {None: Mode.OFF}
    assert settings.sandbox.disk_quota == 10 * 1024**3
    assert settings.storage.database == tmp_path / ".guardian/guardian.db"
    assert settings.keys.record.path == tmp_path / "keys/record.pem"
    assert (settings.schedules[0].asset, settings.schedules[0].grace_s) == ("erp", 3600)


def test_environment_alone_takes_the_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, "environment: dev\n")
    assert (settings.engine.type, settings.sandbox.provider, settings.sandbox.disk_quota) == (
        "wasm",
        "bwrap",
        50 * 1024**3,
    )
    assert settings.sandbox.folder == tmp_path / ".guardian/sandbox"
    assert settings.keys.redaction == Secret(
        f"file:{tmp_path}/keys/redaction.key", f"{tmp_path}/guardian.yaml:1: keys.redaction: "
    )
    assert load(tmp_path, "environment: dev\nservices: [{name: s}]\n").services[0].depends_on is None


def test_missing_file_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="guardian init"):
        config.load(tmp_path / "none.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "DEFAULT_PATHS", (Path("guardian.yaml"),))
    with pytest.raises(UsageError, match=r"guardian\.yaml; `guardian init`"):
        config.load(None)
    Path("guardian.yaml").write_text("environment: here\n", encoding="utf-8")
    assert config.load(None).path == tmp_path / "guardian.yaml"


CASES = {
    "unknown key with the nearest": (
        "environment: e\nserivces: []\n",
        "2: serivces: unknown key; did you mean services?",
    ),
    "unknown key deep down": (
        "environment: e\nservices:\n- name: s\n  assets:\n  - name: a\n    type: odoo\n    backup: []\n",
        "7: services[0].assets[0].backup: unknown key; did you mean backups?",
    ),
    "unknown key with nothing near": (
        "environment: e\nredact: {zzz: 1}\n",
        "2: redact.zzz: unknown key; known here: keep",
    ),
    "missing environment": ("services: []\n", "1: environment: required, but missing; add it"),
    "duration with words": (
        "environment: e\nservices:\n- name: s\n  rto: 4 hours\n",
        "4: services[0].rto: '4 hours' is not a duration; expected a whole number with its unit, like 15m, 4h, 7d",
    ),
    "duration without unit": (
        "environment: e\nservices: [{name: s, rpo: 900}]\n",
        "2: services[0].rpo: 900 is not a duration; expected a whole number with its unit, like 15m, 4h, 7d",
    ),
    "duration of zero": (
        "environment: e\nservices: [{name: s, rto: 0m}]\n",
        "2: services[0].rto: must be longer than zero",
    ),
    "size without unit": (
        "environment: e\nsandbox: {diskQuota: 50}\n",
        "2: sandbox.diskQuota: 50 is not a size; expected a whole number with its unit, like 500MiB, 50GiB",
    ),
    "unknown asset type": (
        "environment: e\nservices: [{name: s, assets: [{name: a, type: mysql}]}]\n",
        "2: services[0].assets[0].type: 'mysql' is not a known asset type; supported: postgres, odoo, filestore",
    ),
    "unknown format": (
        "environment: e\nservices: [{name: s, assets: [{name: a, type: odoo, backups: [{name: b, format: walg, path: p}]}]}]\n",
        "2: services[0].assets[0].backups[0].format: 'walg' is not a known backup format; supported: "
        + ", ".join(dict.fromkeys(form for _, form in FORMATS)),
    ),
    "unknown provider": (
        "environment: e\nsandbox: {provider: docker}\n",
        "2: sandbox.provider: 'docker' is not a known sandbox provider; supported: bwrap, none",
    ),
    "unknown engine": (
        "environment: e\nengine: {type: rego}\n",
        "2: engine.type: 'rego' is not a known engine; supported: wasm, opa",
    ),
    "unknown collector type": (
        'environment: e\ncollectors: [{name: c, type: oracle, dsn: "env:X"}]\n',
        "2: collectors[0].type: 'oracle' is not a known collector type; supported: postgres, kubernetes, aws",
    ),
    "bad mode": (
        "environment: e\ncontrols: {a.b: {mode: block}}\n",
        "2: controls.a.b.mode: 'block' is not a mode; expected one of: off, audit, warn, deny",
    ),
    "mode for an unknown tier": (
        "environment: e\ncontrols: {a.b: {mode: {gold: deny}}}\n",
        "2: controls.a.b.mode: gold is not a tier; expected one of: critical, standard, low",
    ),
    "environment with capitals": (
        "environment: Prod_1\n",
        "1: environment: 'Prod_1' cannot be an environment; use a-z, 0-9 and '-', such as production",
    ),
    "name with a slash": (
        "environment: e\nservices: [{name: a/b}]\n",
        "2: services[0].name: 'a/b' cannot be a name; use letters, digits, '.', '_' and '-', at most 63, the first a letter or digit",
    ),
    "duplicate service": (
        "environment: e\nservices:\n- name: s\n- name: s\n",
        "4: services[1].name: this service is already at services[0].name on line 3; make them different",
    ),
    "duplicate asset of two services": (
        "environment: e\nservices:\n- {name: s, assets: [{name: a, type: odoo}]}\n- {name: t, assets: [{name: a, type: odoo}]}\n",
        "4: services[1].assets[0].name: this asset is already at services[0].assets[0].name on line 3; make them different",
    ),
    "duplicate collector": (
        'environment: e\ncollectors:\n- {name: c, type: postgres, dsn: "env:A"}\n- {name: c, type: postgres, dsn: "env:B"}\n',
        "4: collectors[1].name: this collector is already at collectors[0].name on line 3; make them different",
    ),
    "match to an unknown collector": (
        'environment: e\nservices: [{name: s, match: [{collector: erp-bd}]}]\ncollectors: [{name: erp-db, type: postgres, dsn: "env:A"}]\n',
        "2: services[0].match[0].collector: there is no collector called 'erp-bd'; did you mean erp-db?",
    ),
    "dependsOn an unknown service": (
        "environment: e\nservices: [{name: s, dependsOn: [nobody]}]\n",
        "2: services[0].dependsOn[0]: there is no service called 'nobody'; configured: s",
    ),
    "source on an unknown collector": (
        "environment: e\nservices: [{name: s, assets: [{name: a, type: odoo, source: {postgres: db}}]}]\n",
        "2: services[0].assets[0].source.postgres: there is no collector called 'db'; no collector is configured",
    ),
    "drill of nothing": (
        'environment: e\nschedules: [{job: drill, cron: "0 3 * * *"}]\n',
        "2: schedules[0].asset: a drill needs the asset to restore; add it",
    ),
    "drill of an unknown asset": (
        'environment: e\nschedules: [{job: drill, asset: a, cron: "0 3 * * *"}]\n',
        "2: schedules[0].asset: there is no asset called 'a'; no asset is configured",
    ),
    "cron out of range": (
        'environment: e\nschedules: [{job: scan, cron: "0 24 * * *"}]\n',
        "2: schedules[0].cron: not a cron expression: hour: '24' is not within 0-23; expected five fields, like 0 3 * * *",
    ),
    "time zone nobody knows": (
        'environment: e\nschedules: [{job: scan, cron: "0 3 * * *", timeZone: Mars/Olympus}]\n',
        "2: schedules[0].timeZone: 'Mars/Olympus' is not an IANA time zone; expected one like Europe/Berlin or UTC",
    ),
    "time zone outside the database": (
        'environment: e\nschedules: [{job: scan, cron: "0 3 * * *", timeZone: ../../etc/passwd}]\n',
        "2: schedules[0].timeZone: '../../etc/passwd' is not an IANA time zone; expected one like Europe/Berlin or UTC",
    ),
    "key twice": (
        "environment: e\nservices: []\nservices: []\n",
        "3: services: this key stands twice; the first is on line 2; keep one",
    ),
    "tag": (
        "environment: !!python/object/apply:os.system [id]\n",
        "1: environment: YAML tags are refused; write a plain value",
    ),
    "directive": (
        "%YAML 1.1\n---\nenvironment: e\n",
        "1: %-directives are refused: the file is always read as YAML 1.2; remove the directive",
    ),
    "merge key": (
        "environment: e\nsandbox:\n  <<: {a: 1}\n",
        "3: sandbox: merge keys (<<) are not YAML 1.2; write the keys out",
    ),
    "list instead of a mapping": ("- environment\n", "1: expected a mapping, found a list"),
    "nothing": ("# only a comment\n", "1: the file is empty; `guardian init` writes one to start from"),
    "two documents": ("environment: e\n---\nenvironment: f\n", "2: not valid YAML: but found another document"),
    "broken": ("environment: e\nservices: [\n", "3: not valid YAML: expected the node content, but found '...'"),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_mistake_is_named_with_its_line_and_the_way_out(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in complaints(tmp_path, text)


def test_all_mistakes_are_told_at_once_sorted_by_line(tmp_path: Path) -> None:
    text = (
        "environment: E\nservices:\n- {name: s, rto: soon, dependsOn: [x]}\n- {name: s}\n"
        "sandbox: {diskQuota: 5}\nschedules: [{job: dance, cron: x}]\nstuff: 1\n"
    )
    found = complaints(tmp_path, text)
    lines = [int(line.split(":")[0]) for line in found]
    assert lines == sorted(lines)
    assert lines == [1, 3, 3, 4, 5, 6, 6, 7]


def test_equally_specific_matches_of_two_services_are_refused_naming_both(tmp_path: Path) -> None:
    text = (
        "environment: e\nservices:\n- name: one\n  match: [{collector: db}]\n- name: two\n  match:\n  - {collector: db}\n"
        'collectors: [{name: db, type: postgres, dsn: "env:A"}]\n'
    )
    (complaint,) = complaints(tmp_path, text)
    assert complaint.startswith("7: services[1].match[0]: services 'one' (line 4) and 'two' (line 7) match the same")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("collector: db", "collector: db, idPrefix: 'pg:db/database/two'"),
        ("collector: db, idPrefix: 'pg:db/database/a'", "collector: db, idPrefix: 'pg:db/database/b'"),
        ("collector: db, namespace: a", "collector: db, namespace: b"),
        ("collector: db, labels: {app: a}", "collector: db, labels: {app: b}"),
        ("collector: db", "collector: db, labels: {app: b}"),
        ("collector: db", "collector: other"),
    ],
)
def test_matches_that_cannot_tie_are_accepted(tmp_path: Path, one: str, two: str) -> None:
    text = (
        f"environment: e\nservices: [{{name: one, match: [{{{one}}}]}}, {{name: two, match: [{{{two}}}]}}]\n"
        'collectors: [{name: db, type: postgres, dsn: "env:A"}, {name: other, type: postgres, dsn: "env:A"}]\n'
    )
    assert len(load(tmp_path, text).services) == 2


def test_labels_that_may_meet_on_one_resource_are_a_tie(tmp_path: Path) -> None:
    text = (
        "environment: e\nservices: [{name: one, match: [{collector: db, labels: {app: a}}]},"
        " {name: two, match: [{collector: db, labels: {team: b}}]}]\n"
        'collectors: [{name: db, type: postgres, dsn: "env:A"}]\n'
    )
    assert "match the same resources equally well" in complaints(tmp_path, text)[0]


def test_one_folder_for_two_backup_jobs_is_refused_however_it_is_spelled(tmp_path: Path) -> None:
    text = (
        "environment: e\nservices:\n- name: s\n  assets:\n"
        "  - {name: a, type: odoo, backups: [{name: n, format: pg_dump, path: backups/x}]}\n"
        f"  - {{name: b, type: odoo, backups: [{{name: n, format: pg_dump, path: {tmp_path}/y/../backups/x/}}]}}\n"
    )
    assert complaints(tmp_path, text) == [
        "6: services[0].assets[1].backups[0].path: this backup folder is already that of a's n; make them different"
    ]


CANARY = "hunter2-CANARY"


@pytest.mark.parametrize(
    "text",
    [
        f"environment: e\ncollectors: [{{name: c, type: postgres, dsn: 'postgresql://u:{CANARY}@h/d'}}]\n",
        f"environment: e\nstorage: {{database: 'postgresql://u:{CANARY}@h/d'}}\n",
        f"environment: e\nkeys: {{record: {CANARY}}}\n",
        f"environment: e\ncollectors: [{{name: c, type: postgres, dsn:postgresql://u:{CANARY}@h/d}}]\n",
        f"environment: e\ncollectors: [{{name: c, type: 'postgresql://u:{CANARY}@h/d', dsn: 'env:A'}}]\n",
        f"environment: 'postgresql://u:{CANARY}@h/d'\n",
        f"environment: e\npassword: *{CANARY}\n",
        f'environment: e\npassword: "\\q{CANARY}\n',
        f"environment: e\nservices: 'postgresql://{CANARY}@h'\n",
        f"environment: e\nservices: [{{name: s, rto: 'postgresql://u:{CANARY}@h'}}]\n",
    ],
)
def test_no_complaint_repeats_a_secret_written_in_the_wrong_place(tmp_path: Path, text: str) -> None:
    assert not [line for line in complaints(tmp_path, text) if CANARY in line]


def test_plain_secret_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (complaint,) = complaints(tmp_path, "environment: e\ncollectors: [{name: c, type: postgres, dsn: 'dbname=x'}]\n")
    assert complaint.startswith("2: collectors[0].dsn: a secret must be a reference, env:NAME or file:PATH")


def test_missing_secrets_are_reported_on_request_and_on_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    text = 'environment: e\ncollectors: [{name: c, type: postgres, dsn: "env:NOT_SET"}]\n'
    settings = load(tmp_path, text)
    with pytest.raises(ConfigError, match=r"guardian\.yaml:2: collectors\[0\]\.dsn: .*NOT_SET is not set"):
        next(c for c in settings.collectors if isinstance(c, PostgresCollector)).dsn.read()
    found = complaints(tmp_path, text, check_secrets=True)
    assert [line.split(": ")[1] for line in found] == ["keys.record", "keys.log", "keys.redaction", "collectors[0].dsn"]
    assert found[3].count("NOT_SET") == 2


def test_key_file_open_to_others_is_refused_with_the_chmod(tmp_path: Path) -> None:
    key = tmp_path / "keys/log.pem"
    key.parent.mkdir()
    key.touch(mode=0o600)
    for mode, refused in ((0o600, False), (0o640, False), (0o644, True), (0o660, True), (0o602, True)):
        key.chmod(mode)
        if refused:
            assert complaints(tmp_path, "environment: e\n") == [
                f"1: keys.log: the key file may be used by others (mode {mode:04o}); run: chmod 0600 {key}"
            ]
        else:
            load(tmp_path, "environment: e\n")


def test_configuration_that_anyone_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "guardian.yaml"
    path.write_text("environment: e\n", encoding="utf-8")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="chmod o-w"):
        config.load(path)


def test_neither_folder_nor_pipe_is_taken_for_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a regular file"):
        config.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="not a regular file"):
        config.load(tmp_path / "pipe")


def test_alias_bomb_and_endless_alias_are_refused(tmp_path: Path) -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 9))
    assert "aliases expand" in complaints(tmp_path, f"environment: e\nl0: &l0 [1, 1]\n{levels}")[0]
    assert any("contains itself" in line for line in complaints(tmp_path, "environment: e\nx: &x [*x]\n"))
    assert "nested too deeply" in complaints(tmp_path, "environment: " + "[" * 4000)[0]
    assert "larger than" in complaints(tmp_path, "environment: e\n#" + "x" * (1 << 20))[0]


def test_no_is_a_word_in_yaml_1_2(tmp_path: Path) -> None:
    settings = load(tmp_path, "environment: e\nservices: [{name: s, owner: no, escalation: on}]\n")
    assert (settings.services[0].owner, settings.services[0].escalation) == ("no", "on")


def test_age_key_of_a_backup_is_a_reference_and_kept_private(tmp_path: Path) -> None:
    text = EXAMPLE.replace("every: 24h}", 'every: 24h, decrypt: {age: "file:keys/age.txt"}}')
    (tmp_path / "keys").mkdir()
    key = tmp_path / "keys" / "age.txt"
    key.touch(mode=0o600)
    key.write_text("AGE-SECRET-KEY-1CANARY\n")
    age = load(tmp_path, text).services[0].assets[0].backups[0].age
    assert age is not None
    assert age.read() == "AGE-SECRET-KEY-1CANARY"
    assert "CANARY" not in repr(load(tmp_path, text))
    key.chmod(0o644)
    assert "chmod 0600" in complaints(tmp_path, text)[0]


def test_age_key_written_out_is_refused(tmp_path: Path) -> None:
    text = EXAMPLE.replace("every: 24h}", "every: 24h, decrypt: {age: AGE-SECRET-KEY-1CANARY}}")
    [complaint] = complaints(tmp_path, text)
    assert "decrypt.age" in complaint
    assert "CANARY" not in complaint


def test_assertions_of_an_asset_are_read_with_what_they_expect(tmp_path: Path) -> None:
    text = """environment: e
services:
- name: s
  assets:
  - name: a
    type: postgres
    assertions:
    - {name: some, sql: "SELECT count(*) > 0 FROM t"}
    - {name: none, sql: "SELECT bool_or(x) FROM t", expect: false}
    - {name: three, sql: "SELECT count(*) FROM t", expect: 3}
    - {name: word, sql: "SELECT max(w) FROM t", expect: "1"}
    - {name: between, sql: "SELECT avg(x) FROM t", expect: {min: 1, max: 2.5}}
"""
    path = tmp_path / "guardian.yaml"
    path.write_text(text)
    found = config.load(path).assets()["a"].assertions
    assert [one.expected for one in found] == [True, False, 3, "1", {"min": 1, "max": 2.5}]


@pytest.mark.parametrize(
    ("expect", "complaint"),
    [
        ("{min: 3, max: 1}", "min is greater than max"),
        ("{}", "cannot be expected"),
        ("{least: 1}", "cannot be expected"),
        ("{min: x}", "is no number"),
    ],
)
def test_assertion_that_can_hold_nothing_is_refused(tmp_path: Path, expect: str, complaint: str) -> None:
    body = f'{{name: x, sql: "SELECT 1", expect: {expect}}}'
    text = f"environment: e\nservices: [{{name: s, assets: [{{name: a, type: postgres, assertions: [{body}]}}]}}]\n"
    path = tmp_path / "guardian.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="expect") as caught:
        config.load(path)
    assert complaint in str(caught.value)


def _with_backup(tmp_path: Path, keys: str, *, kind: str = "postgres") -> Path:
    body = f"{{name: base, path: b, {keys}}}"
    text = f"environment: e\nservices: [{{name: s, assets: [{{name: a, type: {kind}, backups: [{body}]}}]}}]\n"
    path = tmp_path / "guardian.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("keys", "target"),
    [
        ("format: pg_basebackup", {"to": "end"}),
        ("format: pg_basebackup, wal: w", {"to": "latest"}),
        ("format: pg_basebackup, wal: w, recover: {to: end}", {"to": "end"}),
        ("format: pg_basebackup, wal: w, recover: {lsn: 0/3000060}", {"to": "lsn", "lsn": "0/3000060"}),
        ("format: pg_basebackup, wal: w, recover: {name: before release}", {"to": "name", "name": "before release"}),
        ("format: pg_basebackup, wal: w, recover: {xid: 731}", {"to": "xid", "xid": "731"}),
        (
            'format: pg_basebackup, wal: w, recover: {time: "2026-11-23T12:00:00+01:00"}',
            {"to": "time", "time": "2026-11-23T12:00:00+01:00"},
        ),
    ],
)
def test_physical_backup_knows_where_its_recovery_ends(tmp_path: Path, keys: str, target: dict[str, str]) -> None:
    [job] = config.load(_with_backup(tmp_path, keys)).assets()["a"].backups
    assert job.target.to_json() == target
    assert job.place.wal == (str(tmp_path / "w") if "wal" in keys else None)


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ("format: tar", "postgres"),
        ("format: tar, holds: pg_basebackup, wal: w", "postgres"),
        ('format: tar, decrypt: {age: "file:k"}', "odoo"),
        ("format: tar", "filestore"),
        ("format: odoo_zip", "odoo"),
        ('format: click_odoo, decrypt: {age: "file:k"}', "odoo"),
    ],
)
def test_packed_backups_are_read_with_what_opens_them(tmp_path: Path, keys: str, kind: str) -> None:
    (tmp_path / "k").write_text("AGE-SECRET-KEY-1")
    (tmp_path / "k").chmod(0o600)
    [job] = config.load(_with_backup(tmp_path, keys, kind=kind)).assets()["a"].backups
    assert (job.place.identity is not None) == ("decrypt" in keys)
    assert job.place.identity is None or job.place.identity.read() == "AGE-SECRET-KEY-1"


@pytest.mark.parametrize(
    ("keys", "kind", "complaint"),
    [
        ("format: odoo_zip", "postgres", "no format of assets of type postgres"),
        ("format: click_odoo", "filestore", "no format of assets of type filestore"),
        ("format: tar, wal: w", "postgres", "holds: pg_basebackup"),
        ("format: tar, holds: pg_basebackup", "odoo", "has one form"),
        ("format: odoo_zip, holds: pg_dump", "odoo", "belongs to format"),
        ('format: tar, decrypt: {password: "file:k"}', "postgres", "encrypted files need age"),
        ('format: restic, decrypt: {age: "file:k"}', "postgres", "write password"),
        ("format: pg_dump, wal: w", "postgres", "belongs to format pg_basebackup"),
        ("format: pg_basebackup, recover: {to: latest}", "postgres", "add wal"),
        ("format: pg_basebackup, wal: w, recover: {to: noon}", "postgres", "names no end"),
        ('format: pg_basebackup, wal: w, recover: {time: "2026-11-23T12:00:00"}', "postgres", "with its offset"),
        ("format: pg_basebackup, wal: w, recover: {lsn: 12}", "postgres", "names no end"),
        ("format: pg_basebackup, wal: w, recover: {to: end, xid: 3}", "postgres", "expected one of"),
        ("format: pg_basebackup", "odoo", "no format of assets of type odoo"),
        ('format: pg_basebackup, decrypt: {age: "file:k"}', "postgres", "belongs to dumps and repositories"),
    ],
)
def test_recovery_that_cannot_be_is_refused_with_its_line(tmp_path: Path, keys: str, kind: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=r"guardian.yaml:2: services\[0\].assets\[0\].backups\[0\]") as caught:
        config.load(_with_backup(tmp_path, keys, kind=kind))
    assert complaint in str(caught.value)
