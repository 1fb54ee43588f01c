"""``persist-magic`` in a shell: the same words as the magics, exit codes for scripts, JSON for programs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Session, environment, wait_until
from .test_local_jobs import WAIT_FOR


def shell(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "persist_magic", *words]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=120)


def test_status_for_people_and_for_programs(session: Session) -> None:
    session.persist("good", "1").wait(60)
    session.persist("bad", "1 / 0").wait(60)
    lines = shell("status").stdout.splitlines()
    assert lines[0].split() == ["name", "state", "backend", "id", "elapsed", "submitted", "remarks"]
    assert lines[1].split()[:3] == ["bad", "failed", "local"]
    assert lines[1].endswith("ZeroDivisionError: division by zero")
    told = json.loads(shell("status", "--json", "bad").stdout)
    assert [(each["name"], each["state"], each["reason"]) for each in told] == [
        ("bad", "failed", "ZeroDivisionError: division by zero")
    ]


def test_an_empty_root_is_no_error(root: str) -> None:
    assert shell("status").stdout == "no jobs\n"
    assert json.loads(shell("status", "--json").stdout) == []


def test_exit_codes(session: Session, marker: Path) -> None:
    session.persist("good", "print('hello')\n'result'")
    session.persist("bad", "1 / 0")
    session.persist("slow", WAIT_FOR.format(path=str(marker)))
    assert shell("wait", "good").returncode == 0
    assert shell("wait", "good", "bad").returncode == 1
    assert shell("wait", "slow", "--timeout", "0.05").returncode == 124
    assert shell("show", "good").returncode == 0
    assert shell("show", "bad").returncode == 1
    assert shell("status", "nosuch").returncode == 3
    assert shell("clean").returncode == 2
    assert shell("frobnicate").returncode == 2
    assert shell("clean", "slow").returncode == 3
    marker.touch()
    assert shell("wait", "slow").returncode == 0


def test_the_verbs(session: Session, marker: Path) -> None:
    session.persist("job", "print('one\\ntwo')\nimport sys; print('oops', file=sys.stderr)\n{'answer': 42}").wait(60)
    assert shell("log", "job", "--tail", "1").stdout == "two\n"
    assert shell("log", "job", "--err").stdout == "oops\n"
    assert shell("log", "job", "--follow").stdout == "one\ntwo\n"
    shown = shell("show", "job").stdout
    assert "# %%persist job --backend local\nprint('one" in shown
    assert shown.endswith("\n\none\ntwo\n{'answer': 42}\n")
    assert shell("show", "job").stderr == "oops\n"
    info = json.loads(shell("info", "job", "--json").stdout)
    assert (info["state"], info["runs"], info["backend"]) == ("done", [1], "local")
    assert "directory    " + info["directory"] in shell("info", "job").stdout
    assert shell("rerun", "job", "--", "--nice", "5").stdout == "job: run 2 → local\n"
    assert shell("wait", "job").stdout == "job: done\n"
    assert json.loads(shell("info", "job", "--json").stdout)["options"] == ["--nice", "5"]
    slow = session.persist("slow", WAIT_FOR.format(path=str(marker)))
    wait_until(lambda: slow.status().state.value == "running", "the job")
    told, ended = shell("cancel", "slow").stdout, slow.wait(60).reason
    assert ended == f"cancelled by {slow.spec().user}"
    if told != f"slow: cancelled: {ended}\n":  # it took more than two seconds
        assert re.fullmatch(r"slow: running, seen \d+ s ago; cancel asked for\n", told)
    assert shell("cancel", "job").stdout == "job: had ended, done\n"
    assert shell("clean", "--older", "7d").stdout == "nothing to delete\n"
    assert shell("clean", "--done").stdout == "deleted job\n"
    assert shell("clean", "--failed").stdout == "deleted slow\n"


def test_the_tasks_of_a_sweep(session: Session, marker: Path) -> None:
    cell = f"print('task', n)\nif n == 1: 1 / 0\nif n == 2:\n    {WAIT_FOR.format(path=str(marker)).strip().replace(chr(10), chr(10) + '    ')}\nn * 2"
    job = session.persist("fit", cell, each=[(("n",), [0, 1, 2])], options=["--slots", "2"])
    wait_until(lambda: shell("tasks", "fit", "--state", "running").stdout.count("n=2"), "the last task")
    assert shell("log", "fit", "--task", "0").stdout == "task 0\n"
    assert shell("log", "fit").returncode == 2
    assert "fit, task 2: " in shell("cancel", "fit", "--task", "2", "--force").stdout
    job.wait(60)
    told = json.loads(shell("tasks", "fit", "--json").stdout)
    assert [(each["task"], each["given"], each["state"], each["result"]) for each in told] == [
        (0, "n=0", "done", "0"),
        (1, "n=1", "failed", None),
        (2, "n=2", "cancelled", None),
    ]
    assert told[1]["reason"] == "ZeroDivisionError: division by zero"
    status = json.loads(shell("status", "--json", "fit").stdout)[0]["tasks"]
    assert (status["done"], status["failed"], status["cancelled"], status["total"]) == (1, 1, 1, 3)
    marker.touch()
    assert shell("rerun", "fit", "--failed").stdout == "fit: run 2, 2 tasks → local\n"
    assert shell("wait", "fit").returncode == 1
    assert shell("tasks", "fit", "--state", "done").stdout.count("done") == 2
    session.persist("plain", "1").wait(60)
    assert shell("tasks", "plain").returncode == 2


def test_the_root_is_an_option_too(session: Session, tmp_path: Path) -> None:
    session.persist("here", "1").wait(60)
    assert shell("--root", str(tmp_path / "empty"), "status").stdout == "no jobs\n"
    assert "here" in shell("--root", session.root, "status").stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("clean", "--older", "soon"), "'soon' is no age: write 90s, 15m, 12h, 7d or 2w"),
        (("log", "x", "--tail", "-3"), "--tail"),
        (("status", "--", "-p", "gpu"), "status takes nothing after --"),
    ],
)
def test_wrong_words_are_told(root: str, words: tuple[str, ...], told: str) -> None:
    done = shell(*words)
    assert done.returncode == 2
    assert told in done.stderr


def test_what_a_job_says_cannot_steer_the_terminal(session: Session) -> None:
    session.persist("evil", "raise ValueError('\\x1b[2J\\x1b]0;owned\\x07 <script>')").wait(60)
    for words in (("status",), ("wait", "evil"), ("info", "evil")):
        assert "\x1b" not in shell(*words).stdout


def test_a_reader_that_has_seen_enough_is_no_error(session: Session) -> None:
    session.persist("long", "print('x' * 2_000_000)").wait(60)
    pipe = f"{sys.executable} -m persist_magic log long | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", pipe], env={**os.environ}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
