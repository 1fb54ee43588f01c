"""``persist-magic doctor``: what is wrong with a machine, and how to mend it; and that nothing is left of looking."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest

from persist_magic.__main__ import main
from persist_magic.doctor import trial, versions

from .conftest import Session, alive, await_supervisor, environment, in_terminal, wait_until
from .kernels import Kernel, start
from .shell import Shell

Seen = list[tuple[str, str, str]]
Look = Callable[..., tuple[int, Seen]]


@pytest.fixture
def look(root: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Look:
    """Look at the root and the local backend, unless other words are given: the exit code; topic, verdict, words and advice."""
    monkeypatch.setattr(trial, "SOON_SECONDS", math.inf)  # a busy machine's job is no finding

    def look(*words: str) -> tuple[int, Seen]:
        capsys.readouterr()
        code = main(["doctor", "--json", *(words or ("--backend", "local"))])
        found = json.loads(capsys.readouterr().out)
        return code, [(each["topic"], each["verdict"], f"{each['words']} → {each['advice']}") for each in found]

    return look


def of(seen: Seen, topic: str, *verdicts: str) -> list[str]:
    """The words of a topic's findings, of some verdicts or of all."""
    return [words for where, verdict, words in seen if where == topic and (not verdicts or verdict in verdicts)]


def files(folder: str | Path) -> set[str]:
    return {str(path) for path in Path(folder).rglob("*")}


def refuse(number: int) -> Callable[..., Any]:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


# ---------------------------------------------------------------- all is well


def test_a_healthy_root_is_told_in_plain_words_and_left_as_it_was(session: Session) -> None:
    mine = session.persist("mine", "1")
    mine.wait(60)
    await_supervisor(mine)
    before = files(session.root)
    command = [sys.executable, "-m", "persist_magic", "doctor", "--backend", "local"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=120)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[:2] == ["root", f"  ✓ {session.root} (from $PERSIST_ROOT)"]
    assert "  ✓ yours alone (mode 0700)" in lines
    assert "  ✓ 1 job, none damaged" in lines
    kept = "writing, syncing and replacing files whole, hard links, locks"
    assert f"  ✓ what jobs need of a file system is there: {kept}" in lines
    *before_it, ran = lines[lines.index("local") + 1 : -2]
    assert all("a tiny job has no result yet" in each for each in before_it)  # which is said on a busy machine
    assert re.fullmatch(r"  ✓ a tiny job took [\d.]+ s from submission to result \(local pid \d+ on \S+\)", ran)
    assert lines[-1].startswith("nothing is wrong")
    assert files(session.root) == before


def test_before_the_first_job_no_root_is_made(look: Look, root: str, tmp_path: Path) -> None:
    before = files(tmp_path)
    code, seen = look()
    assert code == 0
    assert "not there yet; the first job makes it → " in of(seen, "root", "fact")
    assert of(seen, "local", "ok")
    assert files(tmp_path) == before


def test_in_a_session_it_looks_at_the_sessions_root(shell: Shell, tmp_path: Path) -> None:
    shell.run("%persist_doctor --backend local")
    said = shell.said()
    assert f"✓ {os.environ['PERSIST_ROOT']} (from $PERSIST_ROOT)" in said
    shell.run(f"%config PersistMagics.root = '{tmp_path / 'mine'}'\n%persist_doctor --backend local")
    said = shell.said()
    assert f"✓ {tmp_path / 'mine'} (from %config PersistMagics.root)" in said
    assert "✓ a tiny job took" in said
    shell.run("%persist_status")
    assert shell.said() == "no jobs\n"
    assert "say whose options these are" in shell.refused("%persist_doctor -- -p debug")


# ---------------------------------------------------------------- the root


def test_a_root_that_others_may_write_is_not_used(look: Look, root: str) -> None:
    os.makedirs(root)
    os.chmod(root, 0o777)
    code, seen = look()
    assert code == 1
    assert of(seen, "root", "trouble") == [f"{root} is not safe: others may write it → chmod go-w {root!r}"]
    assert of(seen, "local") == ["not tried: jobs need a root → mend the root first, then look again"]


def test_a_folder_above_that_everybody_may_write(look: Look, root: str) -> None:
    os.makedirs(root, 0o700)
    parent = os.path.dirname(root)
    os.chmod(parent, 0o777)
    code, seen = look()
    assert code == 0
    (words,) = [each for each in of(seen, "root", "warning") if "everybody" in each]
    assert f"chmod o-w {shlex.quote(parent)}" in words
    os.chmod(parent, 0o1777)
    assert "everybody" not in str(look())


def test_a_full_and_a_read_only_disk(look: Look, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSIST_ROOT", str(small_disk))
    os.chmod(small_disk, 0o700)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(2 << 20))
    before = files(small_disk)
    code, seen = look()
    assert code == 1
    assert any("file system tmpfs: it is in memory" in words for words in of(seen, "root", "warning"))
    assert any(words.startswith("only 0 B free") for words in of(seen, "root", "warning"))
    assert "No space left on device → mend that, or choose another folder" in of(seen, "root", "trouble")[0]
    assert files(small_disk) == before
    filler.unlink()
    assert look()[0] == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code, seen = look()
    assert code == 1
    assert "mounted read-only" in of(seen, "root", "trouble")[0]


@pytest.mark.parametrize(
    ("module", "name", "instead", "verdict", "told"),
    [
        (os, "link", refuse(errno.EOPNOTSUPP), "trouble", "no hard links (Operation not supported)"),
        (fcntl, "flock", refuse(errno.ENOLCK), "warning", "no file locks (No locks available)"),
        (fcntl, "flock", lambda *_: None, "warning", "locks that hold nobody up"),
        (os, "fsync", lambda *_: time.sleep(0.03), "warning", "slow: a record is written in"),
        (os, "fsync", refuse(errno.EIO), "trouble", "Input/output error"),
    ],
    ids=["no hard links", "no locks", "idle locks", "slow", "no sync"],
)
def test_a_file_system_that_does_not_do_what_jobs_need(
    look: Look, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, instead: Any, verdict: str, told: str
) -> None:
    monkeypatch.setattr(module, name, instead)
    code, seen = look()
    assert code == (1 if verdict == "trouble" else 0)
    assert [each for each in of(seen, "root", verdict) if told in each]
    tried = "not tried" if verdict == "trouble" else "a tiny job took"
    assert of(seen, "local")[0].startswith(tried)


@pytest.mark.parametrize(
    ("seconds", "verdict", "told"),
    [(-10, "warning", r"(9|10) s ahead of this host's"), (90, "trouble", r"(89|90) s behind this host's")],
)
def test_a_file_server_with_a_wrong_clock(
    look: Look, monkeypatch: pytest.MonkeyPatch, seconds: int, verdict: str, told: str
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)
    _, seen = look()
    assert [each for each in of(seen, "root", verdict) if re.search(told, each)]
    assert of(seen, "local", "ok")  # states are told wrongly, but jobs run


def test_damaged_jobs_and_leftovers_are_named(session: Session, look: Look) -> None:
    session.persist("good", "1").wait(60)
    bad = session.persist("bad", "1")
    bad.wait(60)
    (bad.path / "job.json").write_text("{")
    os.mkdir(os.path.join(session.root, ".new-0123"))
    code, seen = look()
    assert code == 1
    (words,) = of(seen, "root", "trouble")
    assert words.startswith("1 of 2 jobs cannot be read: job.json of bad is damaged: not JSON")
    assert any(".new-0123; a day after they are tidied up" in each for each in of(seen, "root", "fact"))
    assert of(seen, "local")[0].startswith("a tiny job took")  # others are not kept from working


# ---------------------------------------------------------------- the packages


def distribution(folder: Path, name: str, version: str, entry_points: str = "") -> None:
    """What pip leaves of an installed package."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)


def test_an_old_package_and_another_pythons_command(look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path / "site", "rich", "9.13.1")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    command = tmp_path / "bin" / "persist-magic"
    command.parent.mkdir()
    command.touch(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)
    code, seen = look()
    assert code == 1
    (words,) = of(seen, "versions", "trouble")
    assert words == (
        f"rich 9.13.1 is older than 13.0, which persist_magic needs → {sys.executable} -m pip install 'rich>=13.0'"
    )
    (words,) = of(seen, "versions", "warning")
    assert words.startswith(f"{command} belongs to another Python than this one → {sys.executable} -m persist_magic")


def test_a_python_that_is_newer_than_what_is_tested_is_told(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    told = "newer than Python 3.9, the last one that persist_magic is tested with"
    assert not any("newer than Python" in words for words in of(look()[1], "versions", "warning"))
    monkeypatch.setattr(versions, "NEWEST_TESTED", (3, 9))
    assert any(words.startswith(told) for words in of(look()[1], "versions", "warning"))


@pytest.mark.parametrize(
    ("found", "wanted", "older"),
    [("8.0", "8", False), ("8", "8.0.1", True), ("10.0", "9.9", False), ("0.9.13.dev0", "0.9.13", False), ("1", "", False)],
)
def test_versions_are_compared_by_their_numbers(found: str, wanted: str, older: bool) -> None:
    assert versions.is_older(found, wanted) is older


# ---------------------------------------------------------------- the backends


def test_an_interpreter_that_does_not_start(look: Look, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho libpython.so: no such library >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    os.makedirs(root, 0o700)
    code, seen = look()
    assert code == 1
    (words,) = of(seen, "local", "trouble")
    assert "ended before the cell could start: libpython.so: no such library" in words
    assert str(python) in words
    assert [name for name in files(root) if ".slots" not in name and ".lock" not in name] == []


def test_a_backend_of_another_package_that_cannot_be_loaded(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(tmp_path / "site", "cloud", "1", "[persist_magic.backends]\ncloud = no_such_cloud:Backend\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PATH", str(tmp_path))
    code, seen = look("--timeout", "60")
    assert code == 1
    assert of(seen, "local", "ok")
    (words,) = of(seen, "cloud", "trouble")
    assert words.startswith("it cannot be loaded: ModuleNotFoundError: No module named 'no_such_cloud'")


@pytest.mark.parametrize(
    ("squeue", "verdict", "told"),
    [
        ("", "fact", "not on this machine: there is no squeue here"),
        (
            "Could not establish a configuration source",
            "fact",
            "not on this machine: its programs are there, but know no cluster",
        ),
        ("Unable to contact slurm controller (connect failure)", "trouble", "the cluster does not answer: squeue: Unable"),
    ],
    ids=["no programs", "no cluster", "an outage"],
)
def test_slurm_is_no_trouble_where_it_is_not(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, squeue: str, verdict: str, told: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    if squeue:
        (programs / "squeue").write_text(f"#!/bin/sh\necho 'squeue: error: {squeue}' >&2\nexit 1\n")
        (programs / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    code, seen = look("--timeout", "60")
    assert code == (1 if verdict == "trouble" else 0)
    (words,) = of(seen, "slurm", verdict)
    assert words.startswith(told)
    code, seen = look("--slurm")  # who names it wants it
    assert code == 1
    assert of(seen, "slurm", "trouble")


def test_findings_come_as_they_are_made_and_an_interrupt_takes_the_job_back(root: str, tmp_path: Path, marker: Path) -> None:
    """At a terminal of 60 columns, with an interpreter that never gets to work."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho $$ >"{marker}.new"\nmv "{marker}.new" "{marker}"\nexec sleep 1000\n')
    python.chmod(0o755)
    os.makedirs(root, 0o700)
    before = files(root)
    program = (
        f"import sys; from persist_magic.__main__ import main; sys.executable = {str(python)!r}; "
        "sys.exit(main(['doctor', '--backend', 'local']))"
    )
    terminal = in_terminal(["-c", program], 40, 60, environment(TERM="xterm-256color"))
    terminal.expect("notebooks")
    shown = str(terminal.before)
    wait_until(lambda: marker.exists() and [*Path(root).rglob("handle.json")], "the job's start")
    terminal.sendintr()
    terminal.expect("stopped; what was tried is cleaned up")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert not alive(int(marker.read_text()))
    assert files(root) == before
    assert "\x1b[32m  ✓" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, plain)) <= 60
    assert any(line.startswith("    ") for line in plain)  # what is wrapped stands below its words


def test_exit_codes_and_words(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--", "-p", "debug"]) == 2
    assert main(["doctor", "--backend", "cloud"]) == 3
    assert "there are local, slurm" in capsys.readouterr().err
    assert main(["doctor", "--backend", "local", "--", "--frobnicate"]) == 1
    said = capsys.readouterr().out
    assert "✗ a tiny job with --frobnicate came to nothing: unrecognized arguments: --frobnicate" in said
    assert said.endswith("\n\n1 thing to mend (✗)\n") or "1 thing to mend (✗); " in said


# ---------------------------------------------------------------- the kernel


def test_in_a_kernel_a_click_is_tried_while_the_cell_runs(kernels: list[Kernel], directory: Path) -> None:
    kernel = start(kernels, directory)
    kernel.run("%load_ext persist_magic")
    said = kernel.run("%persist_doctor --backend local")
    assert "a click in the dashboard is heard while a cell runs (just tried)" in said
    assert "✓ a tiny job took" in said
    kernel.run(
        "from persist_magic.views import subshells\nsubshells._SECONDS = 4.0\n"
        "get_ipython().kernel.shell_handlers['comm_msg'] = lambda *_: None"
    )
    said = kernel.run("%persist_doctor --backend local")
    assert "! ipykernel" in said
    assert "a click was not heard: no word of it within 4 s" in said
