"""The magics in an IPython shell: what they print, what they return, and how errors look."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import persist_magic
from persist_magic import commands
from persist_magic.errors import JobFailed
from persist_magic.job import Job
from persist_magic.store import sealed

from .conftest import environment, wait_until
from .shell import Shell


def test_a_cell_becomes_a_job_in_one_line(shell: Shell) -> None:
    shell.run(
        "import numpy as np\ndata = np.arange(30_000.0)\nscale = 2\ndef total(): return scale * data.sum()\nunused = 1"
    )
    shell.run("%%persist sum\nprint('working')\ntotal()")
    (line, shown) = shell.said().splitlines()
    assert re.fullmatch(
        r"sum → local, pid \d+; shipped data \(ndarray \(30000,\) float64, 240 kB\), total \(function\), scale \(int, \d+ B\); 241 kB",
        line,
    )
    assert re.fullmatch(r"Out\[\d+\]: <Job sum: .*>", shown)
    job = shell.run("_")
    assert isinstance(job, Job)
    assert job.fetch(60) == 899_970_000.0
    assert shell.run("%persist sum").name == "sum"


def test_a_dry_run_only_tells(shell: Shell, root: str) -> None:
    shell.run("import numpy as np\nbig = np.zeros(13_000_000)\ndef f(): return big\nsmall = 'x'")
    assert shell.run("%%persist dry --dry-run\nf(), small") is None
    said = shell.said()
    assert said.startswith("dry would ship ⚠ big (ndarray (13000000,) float64, 104 MB), ")
    assert "nothing was written" in said
    assert re.search(r"^big +ndarray \(13000000,\) float64 +104 MB ⚠ +f\(\) ← cell$", said, re.MULTILINE)
    assert re.search(r"^small +str len 1 +\d+ B +cell$", said, re.MULTILINE)
    assert not os.path.exists(root)


def test_with_and_without(shell: Shell) -> None:
    shell.run("hidden, spare, name = 4, 5, 'hid' + 'den'")
    shell.run("%%persist dynamic --with hidden,spare --without unused\nunused = 1\neval(name) + unused")
    said = shell.said()
    assert "hidden (int" in said
    assert "spare (int" in said
    assert "note: line 3: eval() may read names that cannot be seen; add them with --with" in said
    assert shell.run("%persist_fetch dynamic") == 5


CELLS = [
    ("a line magic", "where = '/usr'", "%cd -q $where\nimport os\nos.getcwd()", "/usr"),
    ("a shell command", "word = 'hello'", "out = !echo {word.upper()} $word $$HOME_IS_NOT_SET\nout[0]", "HELLO hello"),
    ("a command's exit", "", "!exit 3\n_exit_code", 3),
    ("a cell magic", "n = 4", "%%time\nm = n * 2\nm", 8),
    ("an assignment in a timed line", "n = 4", "%time k = n + 1\nk", 5),
    ("top-level await", "import asyncio\nasync def later(x): return x", "await asyncio.gather(later(1), later(2))", [1, 2]),
    ("main", "", "r = 0\nif __name__ == '__main__':\n    r = 1\nr", 1),
    ("display", "", "display(3)\n'shown'", "shown"),
    (
        "the session's future",
        "from __future__ import annotations",
        "def f(x: no_such_name): pass\nf.__annotations__",
        {"x": "no_such_name"},
    ),
    ("help of the shell", "", "get_ipython().user_ns is globals()", True),
    ("capture", "", "%%capture caught\nprint('inside')\n", None),
]


@pytest.mark.parametrize(("before", "cell", "result"), [case[1:] for case in CELLS], ids=[case[0] for case in CELLS])
def test_a_cell_may_hold_what_a_cell_may_hold(shell: Shell, before: str, cell: str, result: object) -> None:
    shell.run(before)
    shell.run(f"%%persist any\n{cell}")
    assert shell.run("%persist_fetch any") == result


def test_what_the_shell_puts_into_the_namespace_is_no_variable(shell: Shell) -> None:
    shell.run("%%persist vars\nx = 1\n%time y = 2\n!true\nimport json")
    shell.run("_.wait(60)")
    assert sorted(shell.run("%persist vars").variables) == ["json", "x", "y"]


def test_results_are_instances_of_the_sessions_classes(shell: Shell) -> None:
    shell.run(
        "import enum\nclass Colour(enum.Enum):\n    RED = 1\nclass Point:\n    def __init__(self, x): self.x = x\np = Point(1)"
    )
    shell.run("%%persist objects\n[Point(p.x + 1), Colour.RED]")
    shell.run("point, red = %persist_fetch objects")
    assert shell.run("type(point) is Point and red is Colour.RED and point.x == 2")


def test_variables_come_into_the_session_but_never_over_a_name(shell: Shell) -> None:
    shell.run("%%persist vars\na, b = 1, 2\na + b")
    assert shell.run("%persist_fetch vars a") == 3
    assert shell.run("a") == 1
    shell.run("b = 'mine'")
    shown = shell.refused("%persist_fetch vars --all")
    assert (
        shown == "NameTaken: a, b already in the session, nothing fetched from job vars; add --overwrite to replace them\n"
    )
    assert shell.run("b") == "mine"
    shell.run("%persist_fetch vars --all --overwrite")
    assert shell.run("a, b") == (1, 2)
    assert "vars has no variable 'c'; it has a, b" in shell.refused("%persist_fetch vars c --overwrite")


def test_functions_that_a_script_brought_are_told(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("factor = 10\ndef scaled(x): return x * factor\ndef plain(): return 1\n")
    shell.run("%run script.py")
    shell.run("factor = 2\ndef own(x): return x * factor")
    shell.run("%%persist told\nscaled(4), plain(), own(4)")
    note = (
        "  note: plain(), scaled() came from script.py, executed by %run: in the job, too, with that script's own globals\n"
    )
    assert note in shell.said()
    job = shell.run("%persist told")
    assert job.fetch(60) == (40, 1, 8)
    assert job.info()["warnings"] == [note.removeprefix("  note: ").rstrip()]


def test_what_was_lost_is_told_when_all_is_fetched(shell: Shell) -> None:
    shell.run("%%persist lost\nimport threading, sqlite3\nx, conn = 1, sqlite3.connect(':memory:')\nNone")
    shell.run("%persist_fetch lost --all")
    said = shell.said()
    assert (
        "left out: conn of job lost could not be kept: cannot pickle 'Connection': a database connection; it was <sqlite3.Connection"
        in said
    )
    assert shell.run("x") == 1


def test_the_variables_of_a_failed_job(shell: Shell) -> None:
    shell.run("%%persist bad\nsteps = [1, 2]\nsteps[5]")
    assert "IndexError" in shell.refused("%persist_fetch bad")
    assert shell.run("%persist_fetch bad steps") is None
    assert "job bad failed: IndexError: list index out of range" in shell.said()
    assert shell.run("steps") == [1, 2]


def test_a_captured_list_that_the_cell_changed_is_a_variable(shell: Shell) -> None:
    shell.run(
        "import numpy as np\nkept, grown, table = [1], [1], {'a': {3}}\ngrid, still = np.zeros(20_000), np.zeros(20_000)"
    )
    shell.run("%%persist grow\ngrown.append(len(kept)); grid[7] = table['a'].pop(); still.sum()\nNone")
    assert _variables(shell, "grow") == ["grid", "grown", "table"]


def _variables(shell: Shell, name: str) -> list[str]:
    job = shell.run(f"%persist {name}")
    job.wait(60)
    return sorted(job.variables)


def test_the_verbs(shell: Shell, marker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_CANCEL_SECONDS", 60.0)
    shell.run(f"%%persist slow\nimport os, time\nprint('up')\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)")
    job = shell.run("_")
    wait_until(lambda: job.stdout() == "up\n", "the cell")
    shell.said()
    shell.run("%persist_status")
    assert re.search(r"^slow +running +local +pid \d+ .* seen \d s ago$", shell.said(), re.MULTILINE)
    shell.run("%persist_log slow --tail 1")
    assert shell.said() == "up\n"
    shell.run("%persist_cancel slow")
    assert shell.said().startswith("slow: cancelled: cancelled by ")
    marker.touch()
    shell.run("%persist_rerun slow")
    shell.run("%persist_wait slow --timeout 60")
    assert shell.said() == "slow: run 2 → local\nslow: done\n"
    shell.run("%persist_clean slow")
    shell.run("%persist_status")
    assert shell.said() == "deleted slow\nno jobs\n"


def test_run_all_after_a_restart_attaches(shell: Shell) -> None:
    shell.run("%%persist once\nimport random\nrandom.random()")
    first = shell.run("%persist_fetch once")
    shell.said()
    shell.run("%%persist once\nimport random\nrandom.random()")
    assert "once: the identical job exists, done; attached to it, nothing submitted" in shell.said()
    assert shell.run("%persist_fetch once") == first


def test_attaching_to_a_failure_says_how_to_go_on(shell: Shell) -> None:
    shell.run("%%persist bad\n1 / 0")
    shell.run("_.wait(60)")
    shell.said()
    shell.run("%%persist bad\n1 / 0")
    assert (
        "failed: ZeroDivisionError: division by zero; attached to it, nothing submitted; %persist_rerun bad runs it again"
        in shell.said()
    )


ERRORS = [
    ("%%persist x\nno_such_name", "MissingNames: job x not submitted: the cell reads no_such_name, not defined here; define or correct it first\n"),
    ("%%persist\n1", "UsageError: the following arguments are required: NAME; usage: %%persist NAME [options] [-- BACKEND OPTIONS]\n"),
    ("%%persist x --fast\n1", "UsageError: unrecognized arguments: --fast; usage: %%persist NAME [options] [-- BACKEND OPTIONS]\n"),
    ("%%persist a/b\n1", "InvalidName: 'a/b' is no name for a job: use letters, digits, '.', '_' and '-', not starting with '.' or '-', at most 100 characters\n"),
    ("%%persist x --backend moon\n1", "BackendError: backend moon: there is none of that name; there are local, slurm\n"),
    ("%%persist x\nreturn 1", "CaptureError: job x not submitted: the cell is no valid Python, line 2: 'return' outside function\n"),
    ("%persist", "UsageError: %persist NAME gives a job; %%persist NAME above a cell makes one; %persist? tells more\n"),
    ("%persist_fetch 'open", "UsageError: No closing quotation: 'open\n"),
    ("%persist_clean", "UsageError: name the jobs to delete, or say --done, --failed or --older 7d\n"),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "shown"), ERRORS, ids=[case[0].replace("\n", " / ") for case in ERRORS])
def test_an_error_is_one_line_that_says_what_to_do(shell: Shell, root: str, cell: str, shown: str) -> None:
    assert shell.refused(cell) == shown
    assert not os.path.exists(os.path.join(root, "x"))


def test_the_root_is_a_setting_that_holds_at_once(
    shell: Shell, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.run("%%persist here\n1")
    shell.run("_.wait(60)")
    shell.run(f"%config PersistMagics.root = {str(tmp_path / 'other')!r}")
    assert [job.name for job in persist_magic.jobs()] == []
    shell.run("%%persist there\n2")
    shell.run("_.wait(60)")
    assert os.listdir(tmp_path / "other" / "there")
    shell.run("%config PersistMagics.root = ''")
    assert [job.name for job in persist_magic.jobs()] == ["here"]
    monkeypatch.delenv("PERSIST_ROOT")
    monkeypatch.chdir("/")
    assert [job.name for job in persist_magic.jobs()] == [], "the default is .persist where the session began"
    assert shell.run("%persist_status") is None


def test_the_slots_are_a_setting(shell: Shell, marker: Path) -> None:
    before = shell.ip.run_cell("get_ipython().configurables").result
    assert {"PersistMagics", "LocalBackend"} <= {type(each).__name__ for each in before}
    shell.run("%config LocalBackend.slots = 1")
    try:
        shell.run(f"%%persist one\nimport os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)")
        two = shell.run("%%persist two\n2")
        wait_until(lambda: two.status().reason == "waiting for a slot, 1 before it", "the queue")
        marker.touch()
        assert two.fetch(60) == 2
    finally:
        shell.run("%config LocalBackend.slots = 0")


def test_settings_come_from_the_configuration_file_too(root: str, tmp_path: Path) -> None:
    place = tmp_path / "profile" / "profile_default"
    place.mkdir(parents=True)
    lines = [
        "c.InteractiveShellApp.extensions = ['persist_magic']",
        f"c.PersistMagics.root = {str(tmp_path / 'fromfile')!r}",
        "c.LocalBackend.slots = 3",
    ]
    (place / "ipython_config.py").write_text("\n".join(lines))
    code = "import persist_magic.session as j, persist_magic.backends as b; print(j.default_root(), b.get_backend('local').slots)"
    command = [sys.executable, "-m", "IPython", "--HistoryManager.enabled=False", "-c", code]
    done = subprocess.run(
        command, env=environment(IPYTHONDIR=str(tmp_path / "profile")), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(tmp_path / "fromfile"), "3"]


def test_there_is_a_manual_page_for_each_magic(shell: Shell) -> None:
    for name in (
        "persist",
        "persist_status",
        "persist_wait",
        "persist_fetch",
        "persist_log",
        "persist_cancel",
        "persist_clean",
        "persist_rerun",
    ):
        page = shell.ip.find_line_magic(name).__doc__
        assert "usage: %" in page, name
        assert "NAME" in page, name
    assert "%%persist calcpi" in shell.ip.find_cell_magic("persist").__doc__


def test_help_is_shown_not_raised(shell: Shell) -> None:
    assert shell.run("%persist_log --help") is None
    assert "--follow" in shell.said()


# ---------------------------------------------------------------- what has changed since

EDITS = {
    "a number": ("alpha = 1", "alpha + 1", "alpha = 2", "alpha changed"),
    "in place": ("data = [1]", "sum(data)", "data.append(2)", "data changed (list len 1 → list len 2)"),
    "a function": ("def f(): return 1", "f()", "def f(): return 2", "f changed"),
    "what a function uses": ("k = 1\ndef f(): return k", "f()", "k = 2", "k changed"),
    "an array": ("import numpy as np\na = np.zeros(9)", "a.sum()", "a[0] = 1", "a changed"),
    "two": ("p, q = 1, 2", "p + q", "p, q = 3, 4", "p changed, q changed"),
}


@pytest.mark.parametrize("kind", EDITS)
def test_a_result_that_predates_an_edit_says_so(shell: Shell, kind: str) -> None:
    before, cell, edit, words = EDITS[kind]
    shell.run(before)
    shell.run(f"%%persist stale\n{cell}")
    job = shell.run("_")
    job.wait(60)
    assert job.staleness() == ()
    shell.said()
    shell.run(edit)
    shell.run("%persist_status")
    assert f"result predates your edit: {words}" in shell.said()
    assert f"result predates your edit: {words}" in repr(job)
    assert ", ".join(job.info()["staleness"]) == words
    shell.run("_ = %persist_fetch stale")
    assert shell.said() == f"  note: result predates your edit: {words}\n"
    shell.run("%persist_show stale")
    assert f"note: result predates your edit: {words}" in shell.said()
    shell.run(before)
    shell.run("%persist_status")
    assert "predates" not in shell.said()


def test_a_running_job_says_what_it_runs_without(shell: Shell, marker: Path) -> None:
    shell.run("import os, time\nalpha = 1")
    shell.run(f"%%persist run\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\nalpha")
    shell.run("alpha = 2")
    wait_until(lambda: "running" in repr(shell.run("%persist run")), "the start")
    assert "runs without your edit: alpha changed" in repr(shell.run("%persist run"))
    marker.touch()


def test_an_edited_cell_that_was_refused_makes_the_old_result_stale(shell: Shell) -> None:
    shell.run("%%persist cell\n1 + 1")
    shell.run("_.wait(60)")
    assert "the cell changed" in shell.refused("%%persist cell\n1 + 2")
    shell.run("%persist_status")
    assert "result predates your edit: the cell changed" in shell.said()
    shell.run("%%persist cell\n1 + 1")
    shell.run("%persist_status")
    assert "predates" not in shell.said()


def test_an_edited_module_makes_a_result_stale(shell: Shell, tmp_path: Path) -> None:
    module = tmp_path / "helpers_of_mine.py"
    module.write_text("def f(): return 1\n")
    shell.run("import sys; sys.path.insert(0, '')\nimport helpers_of_mine")
    shell.run("%%persist module\nhelpers_of_mine.f()")
    shell.run("_.wait(60)")
    module.write_text("def f(): return 22\n")
    shell.run("%persist_status")
    assert "result predates your edit: module helpers_of_mine was edited" in shell.said()


def test_what_the_job_brought_back_is_no_edit(shell: Shell) -> None:
    shell.run("total, other = 1, 1")
    shell.run("%%persist back\ntotal = total + other\ntotal")
    shell.run("%persist_fetch back total --overwrite")
    assert shell.run("total") == 2
    assert shell.run("%persist back").staleness() == ()
    shell.run("other = 5")
    assert shell.run("%persist back").staleness() == ("other changed",)


def test_a_session_that_has_not_run_the_cell_knows_of_no_edit(shell: Shell, root: str) -> None:
    code = "from persist_magic.capture.cell import Source\nfrom persist_magic.submission import submit\nalpha = 1\nsubmit('other', Source('cell', 'alpha', 'alpha'), globals()).job.wait(60)"
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
    shell.run("alpha = 2")
    assert shell.run("%persist other").staleness() == ()


def test_of_large_inputs_only_the_cell_is_compared(shell: Shell) -> None:
    shell.run("big = bytes(20_000_000)")
    shell.run("%%persist large\nlen(big)")
    shell.run("_.wait(60)\nbig = bytes(30_000_000)")
    assert shell.run("%persist large").staleness() == ()
    assert "the cell changed" in shell.refused("%%persist large\nlen(big) + 1")
    assert shell.run("%persist large").staleness() == ("the cell changed",)


def test_what_is_missing_now_is_not_called_an_edit(shell: Shell) -> None:
    shell.run("alpha = 1")
    shell.run("%%persist gone\nalpha")
    shell.run("_.wait(60)\ndel alpha")
    assert shell.run("%persist gone").staleness() == ()


# ---------------------------------------------------------------- the end is told


def test_the_end_is_told_and_a_command_run(shell: Shell, tmp_path: Path) -> None:
    told = tmp_path / "told by a program"
    shell.run(f"%config PersistMagics.notify_command = \"cp /dev/null '{told}-{{name}}-{{state}}'\"")
    said = ""

    def heard(words: str) -> bool:
        nonlocal said
        said += shell.said()
        return re.search(words, said) is not None

    shell.run("%%persist good --notify\n1")
    wait_until(lambda: heard(r"good: done after \d+ s\n"), "the line")
    wait_until(lambda: os.path.exists(f"{told}-good-done"), "the program")
    shell.run("%%persist bad --notify\n1 / 0")
    wait_until(lambda: heard(r"bad: failed after \d+ s: ZeroDivisionError: division by zero\n"), "the second line")
    wait_until(lambda: os.path.exists(f"{told}-bad-failed"), "the program again")
    shell.run("%%persist silent\n1")
    shell.run("_.wait(60)")
    assert not os.path.exists(f"{told}-silent-done")


def test_a_command_that_cannot_be_run_silences_no_other(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%config PersistMagics.notify_command = 'no-such-program {name}'")
    shell.run("%%persist first --notify\n1")
    said = ""

    def heard(words: str) -> bool:
        nonlocal said
        said += "".join(capsys.readouterr())
        return words in said

    wait_until(lambda: heard("first: done"), "the line")
    wait_until(lambda: heard("no-such-program cannot be run"), "the error")
    shell.run("%config PersistMagics.notify_command = ''")
    shell.run("%%persist second --notify\n1")
    wait_until(lambda: heard("second: done"), "the second line")


def test_the_watching_thread_ends_with_what_it_watches(shell: Shell, marker: Path) -> None:
    def watchers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "persist_magic monitor"]

    shell.run("import os, time")
    for name in "ab":
        shell.run(f"%%persist {name} --notify\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)")
    assert len(watchers()) == 1
    marker.touch()
    wait_until(lambda: not watchers(), "the end of the thread")


def test_a_command_that_cannot_be_read_is_refused_at_once(shell: Shell, root: str) -> None:
    shell.run("%config PersistMagics.notify_command = 'say \\'oops'")
    assert "UsageError: PersistMagics.notify_command: No closing quotation" in shell.refused("%%persist quoted --notify\n1")
    assert not os.path.exists(root)


def test_a_damaged_job_keeps_no_other_from_being_told(shell: Shell, root: str, marker: Path) -> None:
    for name in "ab":
        shell.run("import os, time")
        shell.run(f"%%persist {name} --notify\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)")
    wait_until(lambda: "running" in repr(shell.run("%persist b")), "the start")
    spec = Path(root, "b", "job.json")
    whole = spec.read_text()
    spec.write_text("{}")
    marker.touch()
    wait_until(lambda: "a: done" in shell.said(), "the line of the other")
    spec.write_text(whole)
    wait_until(lambda: "b: done" in shell.said(), "its own, once it can be read")


def test_a_word_that_no_record_may_hold_is_damage_to_one_job(shell: Shell, root: str) -> None:
    for name in "ab":
        shell.run(f"%%persist {name}\n1")
        shell.run("_.wait(60)")
    ended = Path(root, "a", "run-1", "ended.json")
    ended.write_bytes(sealed({**json.loads(ended.read_text()), "outcome": "dnoe"}))
    shell.said()
    shell.run("%persist_status")
    lines = shell.said().splitlines()
    assert re.match(r"a +damaged .*outcome is 'dnoe', none of done, failed, cancelled", lines[1])
    assert re.match(r"b +done ", lines[2])


def test_what_a_bar_says_cannot_steer_the_terminal(shell: Shell) -> None:
    shell.run(
        "%%persist bar\nimport persist_magic\npersist_magic.progress(1, 2, 'x\\x1b]0;y\\x07')\nraise ValueError('\\x1b[2J')"
    )
    shell.run("_.wait(60)")
    assert "\x1b" not in repr(shell.run("%persist bar"))
    assert "\x1b" not in shell.refused("%persist_fetch bar").splitlines()[-1]


def test_lines_are_counted_as_they_stand_below_empty_ones(shell: Shell) -> None:
    shell.run("%%persist lines\n\n\nx = 1\ny = 2\n1 / 0")
    with pytest.raises(JobFailed) as failure:
        shell.run("_.fetch(60)")
    assert "line 6, in <module>\n    1 / 0" in failure.value.traceback
    assert "Job lines, line 6" in "\n".join(failure.value.shown)


def test_a_result_is_fetched_although_its_outputs_are_damaged(shell: Shell, root: str) -> None:
    shell.run("%%persist damaged\ndisplay(1)\n6 * 7")
    shell.run("_.wait(60)")
    path = Path(root, "damaged", "run-1", "display.jsonl")
    path.unlink()
    path.mkdir()
    shell.said()
    assert shell.run("%persist_fetch damaged") == 42
    assert "note: what the cell has put out cannot be shown: " in shell.said()
