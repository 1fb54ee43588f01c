"""Logs that are large or growing: only what is asked for is read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from persist_magic.logs import read_log, tail_offset

from .conftest import Session, environment, wait_until


def bytes_read(action: Callable[[], object]) -> int:
    """How many bytes this process has read meanwhile (proc(5): rchar)."""

    def counter() -> int:
        with open("/proc/self/io") as file:
            return int(file.readline().split()[1])

    before = counter()
    action()
    return counter() - before


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """A log of ten gigabytes, most of it a hole."""
    path = tmp_path / "log"
    with open(path, "wb") as file:
        file.truncate(10 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"".join(b"line %d\n" % number for number in range(1000)))
    return path


def test_ten_gigabytes_are_tailed_without_being_read(huge: Path) -> None:
    texts: list[str] = []
    assert bytes_read(lambda: texts.append(read_log(str(huge), 3))) < 200_000
    assert texts == ["line 997\nline 998\nline 999\n"]


def test_a_line_without_end_is_cut_and_not_looked_through(huge: Path) -> None:
    os.truncate(huge, 10 << 30)
    assert bytes_read(lambda: tail_offset(str(huge), 10)) < 4_000_000
    assert (10 << 30) - tail_offset(str(huge), 10) < 4_000_000


def shell(*words: str) -> str:
    command = [sys.executable, "-m", "persist_magic", *words]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout


def test_of_a_long_log_the_end_is_shown_and_how_to_see_the_rest(session: Session) -> None:
    job = session.persist("long", "for number in range(300_000): print('line', number)")
    job.wait(60)
    shown = shell("log", "long")
    head, _, rest = shown.partition("\n")
    size = os.stat(job.directory.run(1).stdout_path).st_size
    assert head == f"… {size - 1_000_000} bytes left out: --all shows them, or {job.directory.run(1).stdout_path}"
    assert rest.startswith("line ")
    assert rest.endswith("\nline 299999\n")
    assert len(shown) < 1_100_000
    assert shell("log", "long", "--all") == job.stdout()
    assert shell("log", "long", "--tail", "2") == "line 299998\nline 299999\n"


def test_carriage_returns_make_one_line(session: Session) -> None:
    session.persist("bar", "import sys\nfor n in range(5): sys.stdout.write(f'\\r{n} of 4')\nprint('\\nend')").wait(60)
    assert shell("log", "bar") == "4 of 4\nend\n"
    assert shell("log", "bar", "--tail", "2") == "4 of 4\nend\n"
    assert shell("show", "bar").endswith("\n\n4 of 4\nend\n")


def test_following_goes_on_with_the_next_run(session: Session, marker: Path) -> None:
    cell = f"import os, time\nprint('run')\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\nprint('end')"
    job = session.persist("again", cell)
    wait_until(lambda: job.stdout() == "run\n", "the first line")
    parts = job.follow()
    assert next(parts) == "run\n"
    job.cancel()
    job.wait(60)
    marker.touch()
    job.rerun()
    assert "".join(parts) == "run\nend\n"


def test_what_is_printed_is_followed_within_a_second(session: Session, marker: Path) -> None:
    cell = f"""
import os, time
while not os.path.exists({str(marker)!r}): time.sleep(0.01)
for _ in range(5):
    print(time.time())
    time.sleep(0.3)
"""
    job = session.persist("live", cell)
    parts = job.follow()
    marker.touch()
    ages = [time.time() - float(line) for part in parts for line in part.split()]
    assert len(ages) == 5
    assert sorted(ages)[2] < 1.0
