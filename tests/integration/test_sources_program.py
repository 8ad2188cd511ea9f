"""Programs that read repositories, run as Guardian runs them: real processes, ended for good, with no secret told."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.shelves.base import Text
from verifiers.sources import Place, SourceError, open_source, program
from verifiers.sources.program import Program, ProgramError

PASSWORD = "correct-horse"


def script(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str = "keeper") -> Program:
    """Put a program on PATH that runs shell text."""
    at = folder / "bin" / name
    at.parent.mkdir(exist_ok=True)
    at.write_text(f"#!/bin/sh\n{text}\n")
    at.chmod(0o755)
    monkeypatch.setenv("PATH", f"{at.parent}:{os.environ['PATH']}")
    return Program(name, "keeper-package")


def run(keeper: Program, deadline_s: float = 30, **more: object) -> bytes:
    return keeper.run(("list",), environment={}, deadline_s=deadline_s, **more)  # type: ignore[arg-type]


def families(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Program, Path]:
    """Return a program that starts another, which starts a third, and the file with the ids of all three."""
    ids = folder / "ids"
    inner = f"echo $$ >>{ids}; sleep 600 & echo $! >>{ids}; wait"
    return script(folder, monkeypatch, f"echo $$ >>{ids}\nsh -c '{inner}' &\nwait"), ids


def wait_gone(ids: Path) -> None:
    """Fail unless the three processes end: those without a parent are reaped by the system in its own time."""
    found = [int(line) for line in ids.read_text().split()]
    assert len(found) == 3
    ends = time.monotonic() + 5
    while any(alive(each) for each in found):
        assert time.monotonic() < ends, "a process that the program started lives on"
        time.sleep(0.05)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_deadline_ends_all_that_a_program_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, ids = families(tmp_path, monkeypatch)
    with pytest.raises(SourceError, match="keeper did not end within 1 s"):
        run(keeper, 1)
    wait_gone(ids)


def test_poll_that_raises_ends_the_program_and_is_what_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, ids = families(tmp_path, monkeypatch)

    def poll() -> None:
        if ids.exists() and len(ids.read_text().split()) == 3:
            raise KeyboardInterrupt("stop asked for")

    with pytest.raises(KeyboardInterrupt, match="stop asked for"):
        run(keeper, poll=poll)
    wait_gone(ids)


def test_what_a_program_started_ends_with_it_where_it_succeeds_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = script(tmp_path, monkeypatch, f"sleep 600 & echo $! >{tmp_path}/left\necho done")
    assert run(keeper) == b"done\n"
    left = int((tmp_path / "left").read_text())
    ends = time.monotonic() + 5
    while alive(left):
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_secrets_are_masked_in_what_is_told_and_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = script(
        tmp_path, monkeypatch, f"echo 'opened with {PASSWORD}, {PASSWORD}-longer, https://u:xy@vault/' >&2\nexit 3"
    )
    with pytest.raises(ProgramError) as caught:
        run(keeper, secrets=[PASSWORD, f"{PASSWORD}-longer", "eu"])
    assert str(caught.value) == "keeper list exited 3: opened with …, …, https://u:…@vault/"
    assert caught.value.said == "opened with …, …, https://u:…@vault/"
    assert caught.value.status == 3
    heard: list[str] = []
    run(script(tmp_path, monkeypatch, f"echo 'warning {PASSWORD}' >&2"), secrets=[PASSWORD], heard=heard.append)
    assert heard == ["warning …"]


@pytest.mark.parametrize("form", ["restic", "borg"])
def test_password_of_the_url_is_known_to_the_program_and_told_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    url = f"rest:https://guardian:{PASSWORD}@vault:8000/erp"
    variable = {"restic": "RESTIC_REPOSITORY", "borg": "BORG_REPO"}[form]
    said = f'echo "${variable}" >{tmp_path}/given\necho "cannot open ${variable}, tried {PASSWORD}" >&2\nexit 1'
    script(tmp_path, monkeypatch, said, form)
    place = Place(form, url, secret=Text("passphrase"))
    source = open_source("postgres", place)
    with pytest.raises(SourceError, match="guardian:…@vault:8000/erp") as caught:
        source.locate()
    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in str(error)
        error = error.__cause__
    assert (tmp_path / "given").read_text().strip() == url


def test_program_that_is_missing_is_named_with_its_package() -> None:
    with pytest.raises(SourceError, match=r"program keeper-of-none .* apt-get install keeper-package"):
        run(Program("keeper-of-none", "keeper-package"))


def test_answer_that_is_too_large_is_refused_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "ANSWER_BYTES", 2 << 20)
    whole = script(tmp_path, monkeypatch, "head -c 2097152 /dev/zero")
    assert len(run(whole)) == 2 << 20
    larger = script(tmp_path, monkeypatch, "head -c 2097153 /dev/zero")
    with pytest.raises(SourceError, match="keeper list answered more than 2 MiB"):
        run(larger)


def test_program_sees_nothing_of_our_environment_and_its_home_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDIAN_TEST_SECRET", PASSWORD)
    script(tmp_path, monkeypatch, 'env; echo "arguments $*"; readlink /proc/self/fd/0')
    answer = Program("keeper", "p").run(("list",), environment={"GIVEN": "yes"}, deadline_s=30).decode()
    values = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    assert values["GIVEN"] == "yes"
    assert "GUARDIAN_TEST_SECRET" not in values
    assert not Path(values["HOME"]).exists()
    assert "/dev/null" in answer


def test_answer_is_kept_in_no_file_that_a_kill_would_leave_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = script(tmp_path, monkeypatch, 'echo a row; find "$HOME" -type f')
    assert run(keeper) == b"a row\n"


def test_program_that_answers_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "ANSWER_BYTES", 1 << 16)
    keeper = script(tmp_path, monkeypatch, "head -c 1000000 /dev/zero; sleep 600")
    began = time.monotonic()
    with pytest.raises(SourceError, match="answered more than"):
        run(keeper, 20)
    assert time.monotonic() - began < 10
