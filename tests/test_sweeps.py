"""Sweeps on this machine: what comes back, what goes wrong in some of the tasks, who may run, and that nothing is lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from persist_magic import backends, tasks
from persist_magic import status as status_module
from persist_magic.backends import local
from persist_magic.each import checked
from persist_magic.errors import (
    BackendError,
    JobCancelled,
    JobExists,
    JobLives,
    JobTimeout,
    NoSuchTask,
    NotPickled,
    NotSubmitted,
    TaskCancelled,
    TaskFailed,
    TasksFailed,
    Unpicklable,
    UsageError,
)
from persist_magic.job import Job
from persist_magic.journal import unframed
from persist_magic.monitor import Poller, rows
from persist_magic.processes import descendants
from persist_magic.status import JobState
from persist_magic.submission import jobs, load, persist
from persist_magic.sweep import Sweep, Task
from persist_magic.tasks import Counts
from persist_magic.views.table import table

from .conftest import Session, alive, environment, started, wait_until
from .shell import Shell

WAIT_FOR = "import os, time\nwhile not os.path.exists({path!r}): time.sleep(0.01)\n"


def sweep(session: Session, name: str, cell: str, options: Iterable[str] = (), **each: Iterable[Any]) -> Sweep:
    """A sweep of a cell over named axes; of what else `submit` takes the words begin with an underscore."""
    more = {word[1:]: each.pop(word) for word in [word for word in each if word.startswith("_")]}
    axes = checked([((name,), values) for name, values in each.items()])
    job = session.persist(name, cell, each=axes, options=tuple(options), **more)
    assert isinstance(job, Sweep)
    return job


def state(job: Job | Task) -> JobState:
    return job.status().state


def running(job: Sweep, number: int) -> Task:
    task = job[number]
    wait_until(lambda: state(task) is JobState.RUNNING, f"task {number}")
    return task


# ---------------------------------------------------------------- what comes back


def test_a_cell_runs_once_for_each_value(shell: Shell) -> None:
    shell.run("import numpy as np\nX = np.arange(6.0).reshape(3, 2)\ndef scale(a): return a * X.sum()")
    job = shell.run("%%persist fit --each alpha=np.array([1, 2.5, -3])\nprint('alpha', alpha)\nscale(alpha)")
    assert re.search(r"^fit → local, pid \d+; 3 tasks; shipped .*--each \(values of alpha, \d+ B\)", shell.said())
    assert shell.run("%persist_fetch fit") == [15.0, 37.5, -45.0]
    assert isinstance(job, Sweep)
    assert job[2].stdout() == "alpha -3.0\n"
    assert job[-1].values == {"alpha": -3.0}
    assert (job[1].label, job[1].fetch()) == ("alpha=2.5", 37.5)
    assert [task.index for task in job[1:]] == [1, 2]
    assert (len(job), bool(job), len(list(job))) == (3, True, 3)


def test_several_values_make_the_product_and_pairs_are_unpacked(shell: Shell) -> None:
    shell.run("xs, ys = [1, 2], 'pq'")
    shell.run("%%persist fit --each x,y=zip(xs, ys) --each z=range(3) --limit 1 -- --slots 2\n(x, y, z)")
    assert "fit → local" in shell.said()
    assert shell.run("%persist_fetch fit") == [(x, y, z) for x, y in zip([1, 2], "pq", strict=True) for z in range(3)]


def test_the_values_are_python_and_not_ipythons_own_syntax(shell: Shell) -> None:
    shell.run("for i in range(10): pass\nx, s, kind = 5, 'S', 'fit'")
    shell.run("%%persist {kind} --each path=[f'{i}.csv' for i in range(3)] --each d=[{x}, '$s']\npath, d")
    got = [("0.csv", {5}), ("0.csv", "$s"), ("1.csv", {5}), ("1.csv", "$s"), ("2.csv", {5}), ("2.csv", "$s")]
    assert shell.run("%persist_fetch $kind") == got


def test_values_are_those_of_the_submission_and_hide_the_sessions(session: Session) -> None:
    session.run("alpha = 'of the session'\nvalues = [[1], [2]]\ndef doubled(): return alpha * 2")
    job = sweep(session, "fit", "alpha.append(0)\n(alpha, doubled())", alpha=session.namespace["values"])
    session.run("values[0].append(5)")
    assert job.fetch(60) == [([1, 0], [1, 0, 1, 0]), ([2, 0], [2, 0, 2, 0])]
    assert "alpha" not in [each.name for each in job.spec().names]


def test_a_value_that_is_captured_too_is_one_object_in_the_task(session: Session) -> None:
    session.run("class Model: pass\nmodels = [Model(), Model()]")
    job = sweep(session, "fit", "models.index(model)", model=session.namespace["models"])
    assert job.fetch(60) == [0, 1]


def test_a_function_is_called_for_each_value(session: Session) -> None:
    session.run("offset = 100\ndef add(a, b, c=0): return a + b + c + offset")
    add = session.namespace["add"]
    job = persist(add, "list", args=(1,), kwargs={"c": 1000}, each=[10, 20])
    assert job.fetch(60) == [1111, 1121]
    assert isinstance(job, Sweep)
    assert job[0].values == {"b": 10}
    job = persist(add, "mapping", each={"a": [1, 2], "b": [10, 20]})
    assert job.fetch(60) == [111, 121, 112, 122]
    assert isinstance(job, Sweep)
    assert job[3].label == "a=2, b=20"


def test_any_later_session_finds_the_sweep(session: Session) -> None:
    job = sweep(session, "fit", "print('task', n)\nn * 2", n=range(5))
    job.wait(60)
    code = "import persist_magic as p\njob = p.load('fit')\nprint(job.fetch(), job[3].stdout(), job[3].values, p.jobs()[0][1].fetch())"
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env=environment(PERSIST_ROOT=session.root), capture_output=True, text=True, check=True)
    assert said.stdout == "[0, 2, 4, 6, 8] task 3\n {'n': 3} 2\n"


def test_a_tasks_log_is_followed_to_its_end(session: Session, marker: Path) -> None:
    cell = f"""
import os, sys, time
for part in "é😀 end".encode():
    os.write(1, bytes([part]))
    time.sleep(0.03)
{WAIT_FOR.format(path=str(marker))}
print(" over", n)
"""
    job = sweep(session, "fit", cell, n=range(2), options=["--slots", "1"])
    parts = job[0].follow()
    text = next(parts)
    marker.touch()
    assert text + "".join(parts) == "é😀 end over 0\n" == job[0].stdout()
    assert "".join(job[1].follow()) == "é😀 end over 1\n" == job[1].stdout()
    job.wait(60)
    assert "".join(job[1].follow(tail=1)) == job[1].stdout(tail=1)


def test_partial_results_are_there_while_others_run(session: Session, marker: Path) -> None:
    cell = f"if n == 1:\n    print('waits', flush=True)\n    {WAIT_FOR.format(path=str(marker)).replace(chr(10), chr(10) + ' ' * 4)}\nn * 10"
    job = sweep(session, "fit", cell, n=range(4), options=["--slots", "2"])
    wait_until(lambda: job.states() == ["done", "running", "done", "done"], "three of four tasks")
    wait_until(lambda: job[1].stdout() == "waits\n", "the fourth")
    assert (state(job), job[2].fetch()) == (JobState.RUNNING, 20)
    assert job.counts == Counts(4, done=3, running=1)
    assert re.search(r"tasks 75 %, 3/4(, \d+ s left)?, 1 running>$", repr(job))
    lines = job.summary().splitlines()
    assert re.fullmatch(r"0 +n=0 +done +\d+\.\d +0", lines[1])
    assert re.fullmatch(r"1 +n=1 +running +\d+\.\d", lines[2])
    with pytest.raises(JobTimeout, match=r"job fit\[1\] has not ended"):
        job[1].fetch(timeout=0)
    with pytest.raises(JobLives):
        job.rerun()
    marker.touch()
    assert job.fetch(60) == [0, 10, 20, 30]


def test_the_table_is_a_frame_of_what_each_was_given_and_gave(session: Session) -> None:
    pandas = pytest.importorskip("pandas")
    job = sweep(session, "fit", "assert n != 2\n[n, word]", n=range(3), word=["a", "b"])
    job.wait(60)
    frame = job.table()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["n", "word", "state", "seconds", "result"]
    assert list(frame["n"]) == [0, 0, 1, 1, 2, 2]
    assert list(frame["state"]) == ["done"] * 4 + ["failed"] * 2
    assert list(frame["result"][:4]) == [[0, "a"], [0, "b"], [1, "a"], [1, "b"]]
    assert frame["result"][5] is None
    assert (frame["seconds"] > 0).all()


def test_the_table_keeps_values_as_they_are(session: Session) -> None:
    pytest.importorskip("pandas")
    cell = "assert result < 3\n2**60 + result"
    frame = session.persist("fit", cell, each=checked([(("state",), ["CA"]), (("result",), [1, 2, 3])])).table
    sweep_of_them = load("fit")
    sweep_of_them.wait(60)
    found = frame()
    assert list(found.columns) == ["state", "result", "state_", "seconds", "result_"]
    assert list(found["state"]) == ["CA"] * 3
    assert list(found["result_"]) == [2**60 + 1, 2**60 + 2, None]


def test_results_of_a_columns_name_and_arrays_keep_their_shape(session: Session) -> None:
    numpy = pytest.importorskip("numpy")
    job = sweep(session, "fit", "import numpy\nnumpy.full((2, 3), n)", n=range(3))
    assert [each.shape for each in job.fetch(60)] == [(2, 3)] * 3
    assert numpy.array_equal(job.table()["result"][2], numpy.full((2, 3), 2))


def test_large_results_share_a_file(session: Session) -> None:
    """One lane's, of which each is mapped without being read as long as nobody else wrote to it."""
    numpy = pytest.importorskip("numpy")
    cell = "import numpy, os, signal\ndata = numpy.full(300_000, float(n))\nif n == 2: os.kill(os.getpid(), signal.SIGKILL)\n{'data': data, 'n': n}"
    job = sweep(session, "fit", cell, n=range(5), options=["--slots", "1"])
    got = job.fetch(60, errors="return")
    assert [(each["n"], numpy.unique(each["data"])) for each in got if isinstance(each, dict)] == [
        (n, [n]) for n in (0, 1, 3, 4)
    ]
    buffers = job.path / "run-1" / "chunk-0.0.values.buffers"
    assert buffers.stat().st_size >= 4 * 2_400_000
    kept = job.end(4).kept("result")
    assert kept is not None
    assert kept.payload is not None
    assert buffers.stat().st_mtime == kept.payload.sealed


# ---------------------------------------------------------------- what goes wrong in some

FAILURES = """
import os, signal, sys
if kind == "raises":
    print("about to raise")
    raise LookupError("nothing there")
if kind == "exits":
    os._exit(3)
if kind == "sys.exit":
    sys.exit("enough")
if kind == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if kind == "crashes":
    import ctypes
    ctypes.string_at(0)
if kind == "not picklable":
    result = (each for each in "abc")
else:
    result = kind.upper()
result
"""
KINDS = ["fine", "raises", "exits", "killed", "crashes", "sys.exit", "not picklable", "also fine"]
REASONS = {
    "raises": r"LookupError: nothing there",
    "exits": r"its process ended with exit code 3 before the cell came to its end",
    "killed": r"killed by signal 9 \(SIGKILL\)",
    "crashes": r"killed by signal 11 \(SIGSEGV\)",
    "sys.exit": r"the cell left by sys.exit\('enough'\)",
}


def test_failures_of_every_kind_take_no_other_task_down(session: Session) -> None:
    job = sweep(session, "fit", FAILURES, kind=KINDS)
    status = job.wait(60)
    assert status.state is JobState.FAILED
    assert re.match(r"5 of 8 tasks failed; task 1 \(kind='raises'\): LookupError", status.reason)
    with pytest.raises(TasksFailed) as caught:
        job.fetch()
    assert caught.value.tasks == (1, 2, 3, 4, 5)
    for (task, label, reason), kind in zip(caught.value.failures, REASONS, strict=True):
        assert label == f"kind={kind!r}"
        assert re.match(REASONS[kind], reason), (task, reason)
    assert "%persist_rerun fit --failed runs them again" in str(caught.value)
    got = job.fetch(errors="return")
    assert (got[0], got[7]) == ("FINE", "ALSO FINE")
    assert [type(each) for each in got[1:7]] == [TaskFailed] * 5 + [NotPickled]
    assert isinstance(got[1].__cause__, LookupError)
    with pytest.raises(
        TaskFailed, match=r"task 1 \(kind='raises'\) of job fit failed: LookupError: nothing there\n\nTraceback"
    ):
        job[1].fetch()
    assert "LookupError" in job[1].stderr()
    assert [each["output_type"] for each in job[1].outputs()] == ["stream", "error"]
    assert "Segmentation fault" in job[4].stderr()
    assert job[0].stderr() == ""


def test_what_many_tasks_failed_of_is_told_once(session: Session) -> None:
    job = sweep(session, "fit", "1 / (n % 3) if n < 12 else {}[n]", n=range(24))
    with pytest.raises(TasksFailed) as caught:
        job.fetch(timeout=60)
    told = str(caught.value).splitlines()[1:]
    assert told[0] == "  task 0 (n=0) and 3 more: ZeroDivisionError: division by zero"
    assert told[1:10] == [f"  task {n} (n={n}): KeyError: {n}" for n in range(12, 21)]
    assert told[10:] == ["  … and 3 other reasons; %persist_tasks fit --state failed lists all"]


def test_an_error_that_hits_all_is_told_once(session: Session) -> None:
    session.run("class Refuses:\n    def __reduce__(self): return (int, ('no number',))\nvalue = Refuses()")
    job = sweep(session, "fit", "value, n", n=range(3))
    status = job.wait(60)
    assert status.state is JobState.FAILED
    assert re.match(r"3 of 3 tasks were not finished: ValueError: invalid literal", status.reason)
    assert re.match(r"never begun: ValueError", job[2].status().reason)


def test_what_cannot_be_shipped_is_refused_and_leaves_nothing(session: Session) -> None:
    with pytest.raises(Unpicklable, match=r"job fit not submitted: --each n: value 1: .*generator.*make a list of it"):
        sweep(session, "fit", "n", n=[1, (each for each in "a")])
    assert jobs(session.root) == []


MISUSES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"limit": True}, UsageError, "from 1 on"),
    ({"chunk": 1.5}, UsageError, "from 1 on"),
    ({"mpi": 2}, UsageError, "without MPI"),
    ({"chunk": 3}, BackendError, "--chunk is for schedulers"),
    ({"limit": -1}, UsageError, "from 1 on"),
]


@pytest.mark.parametrize(("options", "kind", "words"), MISUSES, ids=[str(options) for options, _, _ in MISUSES])
def test_what_does_not_fit_a_sweep_is_refused(
    session: Session, options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        session.persist("fit", "n", each=[(("n",), [1, 2])], **options)
    assert jobs(session.root) == []


def test_a_backend_that_knows_of_no_tasks_is_given_none(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    class Older(local.LocalBackend):
        name = "older"

        def settings(self, options: Any, after: Any = ()) -> dict[str, Any]:  # type: ignore[override]
            return super().settings(options, after)

    monkeypatch.setitem(backends._made, "older", Older())
    assert session.persist("plain", "7", backend="older").fetch(60) == 7
    with pytest.raises(BackendError, match="backend older: it runs no sweeps"):
        sweep(session, "fit", "n", n=[1], _backend="older")


@pytest.mark.parametrize("name", ["a b", "class", 1, "__name__"])
def test_what_is_no_keyword_is_refused(session: Session, name: Any) -> None:
    session.run("def f(**named): return named")
    with pytest.raises(UsageError, match=f"--each: {name!r} is no name for a variable"):
        persist(session.namespace["f"], "fit", each={name: [1]})


def test_tasks_leave_no_process_behind(session: Session, marker: Path) -> None:
    cell = f"""
import subprocess, time
if n == 0:
    open({str(marker)!r}, "w").write(str(subprocess.Popen(["sleep", "1000"]).pid))
while n == 1: time.sleep(0.01)
"""
    job = sweep(session, "fit", cell, n=range(2), options=["--slots", "1"])
    wait_until(job[0].is_ready, "the task that leaves a process")  # while the sweep goes on
    pid = int(marker.read_text())
    wait_until(lambda: not alive(pid), "the end of what it left behind")
    job.cancel(force=True)


def test_what_a_task_leaves_behind_does_not_print_into_the_next_ones_log(session: Session) -> None:
    leak = "trap '' TERM; while true; do echo leak; sleep 0.02; done"
    cell = f"import subprocess\nif n == 0: subprocess.Popen(['sh', '-c', {leak!r}])\nimport time\ntime.sleep(0.2)\nprint('mine', n)"
    job = sweep(session, "fit", cell, n=range(3), options=["--slots", "1"])
    job.wait(60)
    assert "leak" in job[0].stdout()
    assert [job[n].stdout() for n in (1, 2)] == ["mine 1\n", "mine 2\n"]


def test_tasks_draw_different_random_numbers(session: Session) -> None:
    pytest.importorskip("numpy")
    session.run("import numpy.random, random\nfrom numpy.random import rand")
    drawn = sweep(session, "fit", "(rand(), random.random(), n)", n=range(4)).fetch(60)
    assert len({a for a, _, _ in drawn}) == len({b for _, b, _ in drawn}) == 4


def test_what_a_cell_imports_first_is_imported_once(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    (tmp_path / "counted.py").write_text(f"open({str(log)!r}, 'a').write('x')\nvalue = 10")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert sweep(session, "first", "from counted import value\nvalue + n", n=range(4)).fetch(60) == [10, 11, 12, 13]
    assert log.read_text() == "x"
    # what the cell does before may matter for the import
    later = "import os\nos.environ['MODE'] = str(n)\nimport counted\ncounted.value + n"
    assert sweep(session, "later", later, n=range(4)).fetch(60) == [10, 11, 12, 13]
    assert log.read_text() == "x" * 5
    missing = sweep(session, "missing", "import not_there\nn", n=range(2))
    missing.wait(60)
    assert missing[1].status().reason == "ModuleNotFoundError: No module named 'not_there'"


def test_what_a_failure_takes_is_imported_once(session: Session) -> None:
    session.run("import sys")
    job = sweep(session, "fit", "print('dill' in sys.modules)\n1 / 0", _limit=1, n=range(3))
    job.wait(60)
    assert [job[n].stdout() for n in range(3)] == ["False\n", "True\n", "True\n"]


def test_figures_of_tasks_are_theirs(session: Session) -> None:
    pytest.importorskip("matplotlib")
    cell = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots(figsize=(n, 1))\nax.plot([0, n])\nn"
    job = sweep(session, "fit", cell, n=[2, 4])
    assert job.fetch(120) == [2, 4]
    pictures = [[each["data"] for each in task.outputs() if "image/png" in each.get("data", ())] for task in job]
    assert [len(each) for each in pictures] == [1, 1]
    assert pictures[0] != pictures[1]


def test_what_a_task_displays_is_its_own(session: Session) -> None:
    cell = "print('first', n)\ndisplay({'n': n})\nimport sys\nprint('last', n, file=sys.stderr)"
    job = sweep(session, "fit", cell, n=range(3), options=["--slots", "1"])
    job.wait(60)
    for n in range(3):
        first, shown, last = job[n].outputs()
        assert (first["text"], shown["data"], last["text"]) == (
            f"first {n}\n",
            {"text/plain": f"{{'n': {n}}}"},
            f"last {n}\n",
        )


def test_a_task_tells_how_far_it_is_and_keeps_checkpoints(session: Session, marker: Path) -> None:
    cell = f"""
import persist_magic
before = persist_magic.restored().get("step", 0)
if not before:
    persist_magic.checkpoint(step=n + 1)
    persist_magic.progress(n, 10, "at it")
    {WAIT_FOR.format(path=str(marker)).replace(chr(10), chr(10) + " " * 4)}
    raise RuntimeError("not yet")
before
"""
    job = sweep(session, "fit", cell, n=[5, 6], options=["--slots", "2"])
    progress = wait_until(lambda: running(job, 1).progress(), "its progress")
    assert (progress.bars[0].done, progress.bars[0].text) == (6, "at it")
    assert wait_until(running(job, 0).checkpoint, "its checkpoint") == {"step": 6}
    marker.touch()
    assert state(job) is JobState.FAILED or job.wait(60).state is JobState.FAILED
    assert job.rerun(failed=True).fetch(60) == [6, 7]


# ---------------------------------------------------------------- again


def test_only_the_failed_are_run_again(session: Session, marker: Path) -> None:
    cell = f"import os, time\nassert n % 3 or os.path.exists({str(marker)!r})\n(n, os.environ['PERSIST_RUN'])"
    job = sweep(session, "fit", cell, n=range(7))
    with pytest.raises(TasksFailed) as caught:
        job.fetch(60)
    assert caught.value.tasks == (0, 3, 6)
    job.rerun(failed=True).wait(60)
    assert job.status().reason.startswith("3 of 7 tasks failed; task 0 (n=0): AssertionError")
    marker.touch()
    assert job.rerun(failed=True).fetch(60) == [(n, "1" if n % 3 else "3") for n in range(7)]
    assert state(job) is JobState.DONE
    assert job.counts == Counts(7, done=7)
    with pytest.raises(UsageError, match="all 7 tasks of job fit are done"):
        job.rerun(failed=True)
    assert job.rerun().fetch(60) == [(n, "4") for n in range(7)]


def test_a_plain_job_has_no_tasks(session: Session) -> None:
    job = session.persist("plain", "1")
    job.wait(60)
    with pytest.raises(UsageError, match="plain is one cell and no sweep"):
        job.rerun(failed=True)


def test_the_identical_sweep_is_attached_to_and_another_one_refused(session: Session) -> None:
    job = sweep(session, "fit", "n", n=range(3))
    again = session.submit("fit", "n", each=[(("n",), [0, 1, 2])])
    assert again.attached
    assert isinstance(again.job, Sweep)
    for cell, each, words in (
        ("n", [(("n",), [0, 1])], "the values of --each changed"),
        ("n = 3", [], "it was a sweep"),
    ):
        with pytest.raises(JobExists, match=words):
            session.submit("fit", cell, each=each)
    job.wait(60)
    session.persist("one", "3").wait(60)
    with pytest.raises(JobExists, match="it was one cell"):
        session.submit("one", "3", each=[(("n",), [0, 1])])


# ---------------------------------------------------------------- stopping


def test_a_cancel_in_the_middle_keeps_what_is_done(session: Session, marker: Path) -> None:
    cell = f"try:\n    if n: import time; time.sleep(1000)\nfinally:\n    open({str(marker)!r} + str(n), 'w').close()\nn"
    job = sweep(session, "fit", cell, n=range(5), options=["--slots", "2"])
    wait_until(lambda: job.states() == ["done", "running", "running", "queued", "queued"], "two that run")
    job.cancel()
    status = job.wait(60)
    assert status.state is JobState.CANCELLED
    assert re.fullmatch(r"cancelled by \w+; 1 of 5 tasks done", status.reason)
    assert job.states() == ["done"] + ["cancelled"] * 4
    assert Path(f"{marker}1").exists()  # its finally ran
    assert not Path(f"{marker}3").exists()
    assert job[0].fetch() == 0
    with pytest.raises(TaskCancelled, match=r"task 1 of job fit has no result: not finished: cancelled by"):
        job[1].fetch()
    with pytest.raises(TasksFailed):
        job.fetch()
    job.cleanup()
    assert jobs(session.root) == []


def test_a_cancel_before_any_task_is_done_is_one(session: Session) -> None:
    job = sweep(session, "fit", "import time\ntime.sleep(1000)\nn", n=range(3), options=["--slots", "1"])
    running(job, 0)
    job.cancel(force=True)
    with pytest.raises(JobCancelled, match="job fit has no result: cancelled by"):
        job.fetch(60)


def test_single_tasks_are_cancelled(session: Session) -> None:
    cell = "import time\nwhile n in (0, 3): time.sleep(0.01)\nn"
    job = sweep(session, "fit", cell, n=range(5), options=["--slots", "1"])
    running(job, 0)
    job.cancel_tasks("3")
    job[0].cancel()
    with pytest.raises(TasksFailed) as caught:
        job.fetch(60)
    assert caught.value.tasks == (0, 3)
    assert job.states() == ["cancelled", "done", "done", "cancelled", "done"]
    assert re.fullmatch(r"2 of 5 tasks were cancelled", job.status().reason)
    assert re.fullmatch(r"cancelled by \w+", job[0].status().reason)
    assert re.fullmatch(r"cancelled by \w+ before it began", job[3].status().reason)
    assert (job[0].seconds or 0) > 0
    assert job[3].seconds is None


def test_a_task_that_does_not_listen_is_killed(session: Session, marker: Path) -> None:
    cell = f"import time\nwhile True:\n    try:\n        open({str(marker)!r}, 'w').close(); time.sleep(1000)\n    except KeyboardInterrupt: pass"
    job = sweep(session, "fit", cell, n=range(1))
    wait_until(marker.exists, "the task")
    job[0].cancel(force=True)
    assert job.wait(60).state is JobState.CANCELLED
    assert re.fullmatch(r"cancelled by \w+", job[0].status().reason)


STUBBORN = """
import time
stop = time.monotonic() + 60
try:
    open({path!r} + str(n), "w").close()
    while time.monotonic() < stop: time.sleep(0.01)
finally:
    open({path!r} + f"{{n}}-over", "w").close()
    if n == 2: time.sleep(60)
"""


def test_each_cancel_is_as_gentle_as_it_was_asked_for(session: Session, marker: Path) -> None:
    job = sweep(session, "fit", STUBBORN.format(path=str(marker)), n=range(3), options=["--slots", "3"])
    wait_until(lambda: all(Path(f"{marker}{n}").exists() for n in range(3)), "three tasks")
    job[0].cancel()
    job[1].cancel(force=True)
    job[2].cancel()
    wait_until(lambda: job[0].is_ready() and job[1].is_ready(), "two ends")
    assert Path(f"{marker}0-over").exists()
    assert not Path(f"{marker}1-over").exists()
    wait_until(Path(f"{marker}2-over").exists, "the finally of the third")
    assert not job[2].is_ready()
    before = time.monotonic()
    job[2].cancel(force=True)
    job[2].wait(60)
    assert time.monotonic() - before < 8  # and not when ten seconds are over


def test_tasks_that_are_not_there_are_refused(session: Session) -> None:
    job = sweep(session, "fit", "n", n=range(3))
    job.wait(60)
    for wrong in (3, -4):
        with pytest.raises(NoSuchTask, match=f"job fit has 3 tasks, numbered from 0; there is no task {wrong}"):
            job[wrong]
    with pytest.raises(NoSuchTask):
        job.cancel_tasks("1,7")
    with pytest.raises(UsageError, match="write them as 3,7,19-40"):
        job.cancel_tasks("all")


# ---------------------------------------------------------------- nothing is lost

SLOWLY = "import os, time\nwhile n > 1 and not os.path.exists({path!r}): time.sleep(0.01)\nn"


def test_tasks_outlive_their_supervisor(session: Session, marker: Path) -> None:
    job = sweep(session, "fit", SLOWLY.format(path=str(marker)), n=range(6), options=["--slots", "2"])
    running(job, 3)
    os.kill(started(job).supervisor.pid, signal.SIGKILL)
    wait_until(lambda: "its supervisor is gone, the cell goes on" in repr(job), "the news")
    marker.touch()
    assert job.fetch(60) == list(range(6))
    assert job.status().note == "its supervisor ended before it could write the final record"


def test_what_was_finished_stays_when_all_else_is_killed(session: Session, marker: Path) -> None:
    job = sweep(session, "fit", SLOWLY.format(path=str(marker)), n=range(6), options=["--slots", "2"])
    running(job, 3)
    who = started(job)
    assert who.child is not None
    child = who.child
    wait_until(
        lambda: len(descendants(child.pid)) == 2, "its tasks' processes, whose beginning is told before they are there"
    )
    pids = descendants(child.pid)
    for pid in (who.supervisor.pid, child.pid):
        os.kill(pid, signal.SIGKILL)
    status = job.wait(60)
    assert status.state is JobState.FAILED
    assert re.match("4 of 6 tasks were not finished: all its processes vanished without a word", status.reason)
    assert job.states() == ["done", "done", *["failed"] * 4]
    assert (job[1].fetch(), job[2].status().reason.partition(":")[0], job[5].status().reason.partition(":")[0]) == (
        1,
        "not finished",
        "never begun",
    )
    wait_until(lambda: not any(map(alive, pids)), "the end of its tasks, of which nobody could write down anything")
    marker.touch()
    assert job.rerun(failed=True).fetch(60) == list(range(6))


def test_only_the_child_dies(session: Session, marker: Path) -> None:
    job = sweep(session, "fit", SLOWLY.format(path=str(marker)), n=range(4), options=["--slots", "1"])
    running(job, 2)
    child = started(job).child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    status = job.wait(60)
    assert re.match(r"2 of 4 tasks were not finished: killed by signal 9 \(SIGKILL\)", status.reason)
    assert job.states() == ["done", "done", "failed", "failed"]


def test_what_is_stopped_from_outside_is_told(session: Session, marker: Path) -> None:
    job = sweep(session, "fit", SLOWLY.format(path=str(marker)), n=range(5), options=["--slots", "1"])
    running(job, 2)
    child = started(job).child
    assert child is not None
    os.kill(child.pid, signal.SIGTERM)
    marker.touch()
    status = job.wait(60)
    assert status.reason == "2 of 5 tasks were not finished: its tasks were stopped from outside (SIGTERM)"
    assert job.states() == ["done", "done", "done", "failed", "failed"]


def test_a_sweep_that_nobody_took_has_no_tasks_that_wait(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "ABANDONED_SECONDS", 0.0)
    with monkeypatch.context() as killed:  # a session that is killed while it submits
        killed.setattr(local, "_launch", lambda _: os._exit(1))
        if (pid := os.fork()) == 0:
            sweep(session, "fit", "n", n=range(3))
    os.waitpid(pid, 0)
    job = load("fit")
    assert isinstance(job, Sweep)
    assert (state(job), job.states()) == (JobState.EMPTY, ["empty"] * 3)
    assert state(job[1]) is JobState.EMPTY
    for wait in (job.fetch, job[1].fetch):
        with pytest.raises(NotSubmitted):
            wait(timeout=60)
    assert job.rerun().fetch(60) == [0, 1, 2]


def test_a_rerun_in_between_mixes_no_runs(session: Session, marker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = f"import os\nassert n or os.path.exists({str(marker)!r})\n{SLOWLY.format(path=str(marker)).replace('n > 1', 'n == 0')}"
    job = sweep(session, "fit", cell, n=range(3))
    job.wait(60)
    other, asked = load("fit"), []

    def status() -> Any:
        found = Sweep.status(job)
        if not asked:
            asked.append(other.rerun(failed=True))  # between the question and what is made of the answer
        return found

    marker.touch()
    monkeypatch.setattr(job, "status", status)
    assert job.states()[0] in ("queued", "running", "done")
    assert other.fetch(60) == [0, 1, 2]


def test_a_rerun_whose_number_comes_again_is_read_anew(session: Session, marker: Path) -> None:
    job = sweep(session, "fit", f"import os\nassert n or os.path.exists({str(marker)!r})\nn * n", n=range(3))
    job.wait(60)
    asked = job.directory.current_run().submitted()
    assert asked is not None
    refused = job.directory.create_run(2, replace(asked, tasks="0"))
    assert job.status().state is JobState.QUEUED
    assert job.counts == Counts(3, done=2, queued=1)
    shutil.rmtree(refused.path)
    marker.touch()
    words = [sys.executable, "-m", "persist_magic", "--root", session.root, "rerun", "fit"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)  # in this session nobody looks in between
    assert job.fetch(60) == [0, 1, 4]
    assert job.counts == Counts(3, done=3)


def test_a_chunk_that_was_cut_off_is_continued_by_hand(session: Session, marker: Path) -> None:
    cell = f"open({str(marker)!r} + f'-{{n}}', 'a').write('x')\n" + SLOWLY.format(path=str(marker))
    job = sweep(session, "fit", cell, n=range(4), options=["--slots", "1"])
    wait_until(lambda: Path(f"{marker}-2").exists() and Path(f"{marker}-2").read_text(), "the third task")
    who = started(job)
    for pid in (who.supervisor.pid, *descendants(who.supervisor.pid)):
        with contextlib.suppress(ProcessLookupError):  # one may take another with it
            os.kill(pid, signal.SIGKILL)
    assert job.wait(60).state is JobState.FAILED
    marker.touch()
    subprocess.run(["sh", job.directory.script_path], check=True)
    assert job.fetch() == [0, 1, 2, 3]
    assert [Path(f"{marker}-{n}").read_text() for n in range(4)] == ["x", "x", "xx", "x"]
    said = subprocess.run(["sh", job.directory.script_path], capture_output=True, text=True, check=False)
    assert "chunk 0 of run 1 of fit has been run; %persist_rerun fit runs the sweep again" in said.stderr


NO_PROCESS = """
class NoProcess:
    "What is restored of it lets only so many forks succeed, until a task has ended."
    def __reduce__(self):
        return exec, (f'''
import os
real, count = os.fork, [0]
def fork():
    count[0] += 1
    if count[0] in {sorted(FAIL)}:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return real()
os.fork = fork
''', {})
patch = NoProcess()
"""


def test_a_process_that_could_not_be_made_is_tried_again(session: Session) -> None:
    session.run(f"FAIL = {{2, 5, 6}}\n{NO_PROCESS}")
    job = sweep(session, "fit", "patch\nn", n=range(5), options=["--slots", "2"])
    assert job.fetch(60) == [0, 1, 2, 3, 4]
    journal = Path(job.directory.current_run().journal_path(0)).read_text()
    assert journal.count("no process could be made for it: Resource temporarily unavailable") == 3


def test_if_no_process_can_be_made_at_all_that_is_told(session: Session) -> None:
    session.run(f"FAIL = set(range(2, 100))\n{NO_PROCESS}")
    job = sweep(session, "fit", "patch\nn", n=range(3), options=["--slots", "1"])
    status = job.wait(60)
    assert status.reason == "2 of 3 tasks were not finished: BlockingIOError: [Errno 11] Resource temporarily unavailable"
    assert job.states() == ["done", "failed", "failed"]


def test_two_do_not_run_the_same_chunk(session: Session, marker: Path) -> None:
    job = sweep(session, "fit", SLOWLY.format(path=str(marker)), n=range(3))
    running(job, 2)
    said = subprocess.run(["sh", job.directory.script_path], capture_output=True, text=True, check=False)
    assert "chunk 0 of run 1 of fit is running" in said.stderr
    marker.touch()
    assert job.fetch(60) == [0, 1, 2]


def test_a_disk_that_fills_loses_only_what_it_did_not_take(session: Session, small_disk: Path) -> None:
    session.root = str(small_disk / "root")
    job = sweep(session, "fit", "bytes(size)", size=[10, 5_000_000, 20, 5_000_000, 30], options=["--slots", "1"])
    with pytest.raises(TasksFailed) as caught:
        job.fetch(60)
    assert caught.value.tasks == (1, 3)
    assert all("could not be written: No space left on device" in reason for _, _, reason in caught.value.failures)
    got = job.fetch(errors="return")
    assert [got[0], got[2], got[4]] == [bytes(10), bytes(20), bytes(30)]
    assert re.search(r"^1 +size=5000000 +failed +\d\.\d +result could not be written", job.summary(), re.MULTILINE)


def test_a_disk_that_is_full_for_a_while_is_waited_for(session: Session, small_disk: Path) -> None:
    session.root = str(small_disk / "root")
    filler, marker = small_disk / "filler", small_disk.parent / "marker"
    job = sweep(session, "fit", WAIT_FOR.format(path=str(marker)) + "None", n=range(40), options=["--slots", "1"])
    running(job, 0)
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    marker.touch()
    journal = Path(job.directory.current_run().journal_path(0))
    wait_until(lambda: journal.stat().st_size % 4096 == 0, "a line of which only a part found room")
    assert state(job) is JobState.RUNNING
    *_, part = journal.read_bytes().split(b"\n")
    filler.unlink()
    assert job.fetch(60) == [None] * 40
    is_torn = part and unframed(part) is None  # now and then it breaks at a line's end
    assert job.status().note == ("1 line of its journal is damaged" if is_torn else "")


# ---------------------------------------------------------------- who may run


def test_as_many_tasks_run_at_once_as_there_are_slots(session: Session, marker: Path) -> None:
    cell = f"""
import os, time
os.makedirs({str(marker)!r}, exist_ok=True)
mine = os.path.join({str(marker)!r}, str(n))
open(mine, "w").close()
deadline = time.monotonic() + 0.3
most = 0
while time.monotonic() < deadline:
    most = max(most, len(os.listdir({str(marker)!r})))
    time.sleep(0.005)
os.unlink(mine)
most
"""
    assert max(sweep(session, "three", cell, n=range(9), options=["--slots", "3"]).fetch(60)) == 3
    assert max(sweep(session, "one", cell, n=range(4), options=["--slots", "3"], _limit=1).fetch(60)) == 1


def test_a_job_that_waits_gets_its_turn_among_the_tasks(session: Session, tmp_path: Path) -> None:
    log = tmp_path / "log"
    note = f"open({str(log)!r}, 'a').write"
    waits = f"while n == 0 and not os.path.exists({str(tmp_path / 'all')!r}): time.sleep(0.01)"
    cell = f"import os, time\n{note}(f'{{n}} ')\n{waits}\ntime.sleep(0.1)\nn"
    first = sweep(session, "first", cell, n=range(20), options=["--slots", "1"])
    running(first, 0)
    plain = session.persist("plain", f"{note}('plain ')", options=["--slots", "1"])
    second = sweep(session, "second", cell, n=range(100, 110), options=["--slots", "1"])
    (tmp_path / "all").touch()
    for job in (plain, second, first):
        job.wait(60)
    order = log.read_text().split()
    assert order.index("plain") < order.index("10")
    # from then on both sweeps take turns
    both = order[order.index("100") : order.index("109") + 1]
    assert {len(list(group)) for _, group in itertools.groupby(int(word) >= 100 for word in both if word != "plain")} <= {
        1,
        2,
    }
    assert not any(name[0].isdigit() for name in os.listdir(Path(session.root) / ".slots" / os.uname().nodename))


def test_a_sweep_keeps_no_place_in_the_queue_that_it_does_not_need(session: Session, tmp_path: Path) -> None:
    first = session.persist("first", WAIT_FOR.format(path=str(tmp_path / "first")), options=["--slots", "2"])
    wait_until(lambda: state(first) is JobState.RUNNING, "the first job")
    cell = f"import os, time\nwhile not os.path.exists({str(tmp_path)!r} + f'/{{n}}'): time.sleep(0.01)"
    job = sweep(session, "fit", cell, n=range(2), options=["--slots", "2"])
    running(job, 0)
    queue = Path(session.root) / ".slots" / os.uname().nodename
    wait_until(lambda: len([name for name in os.listdir(queue) if name[0].isdigit()]) == 3, "a place that it waits for")
    (tmp_path / "0").touch()
    running(job, 1)  # in the place of the task before
    (tmp_path / "first").touch()
    assert session.persist("last", "7", options=["--slots", "2"]).fetch(30) == 7  # beside the one task that is left
    (tmp_path / "1").touch()
    job.wait(60)


def test_a_sweep_runs_after_another_job_and_another_after_it(session: Session, marker: Path) -> None:
    session.persist("first", WAIT_FOR.format(path=str(marker)))
    fit = session.persist("fit", "n", each=[(("n",), [1, 2])], after=["first"])
    last = session.persist("last", "import persist_magic\nsum(persist_magic.load('fit').fetch(0))", after=["fit"])
    wait_until(lambda: "waiting for fit" in last.status().reason, "why it waits")
    assert "waiting for first" in fit.status().reason
    marker.touch()
    assert last.fetch(60) == 3


# ---------------------------------------------------------------- faces


def test_a_sweep_in_the_terminal(shell: Shell, session: Session, marker: Path) -> None:
    shell.run(f"path = {str(marker)!r}\nimport os, time")
    cell = "print('hello from', n)\nif n == 1: 1 / 0\nwhile n == 2 and not os.path.exists(path): time.sleep(0.01)\nn"
    shell.run(f"%%persist fit --each n=range(4) --limit 2\n{cell}")
    job = load("fit")
    assert isinstance(job, Sweep)
    wait_until(lambda: job.states() == ["done", "failed", "running", "done"], "all but one")
    shell.said()
    shell.run("%persist_status --plain")
    assert re.search(r"fit +running +local +pid \d+ .*tasks 75 %, 3/4.*, 1 failed, 1 running", shell.said())
    shell.run("%persist_log fit --task 2")
    assert shell.said() == "hello from 2\n"
    shell.run("%persist_tasks fit --state failed")
    assert re.search(r"^1 +n=1 +failed +\d+\.\d +ZeroDivisionError: division by zero$", shell.said(), re.MULTILINE)
    shell.run("%persist_cancel fit --task 2")
    assert re.search(r"fit, task 2: cancelled", shell.said())
    assert "2 of 4 tasks of job fit have no result" in shell.refused("%persist_fetch fit")
    said = shell.refused("%persist_fetch fit --task 1")
    assert said.startswith("hello from 1\n")
    assert "task 1 (n=1) of job fit failed: ZeroDivisionError" in said
    assert said.count("ZeroDivisionError: division by zero") == 2  # the headline, and the end of the traceback
    assert shell.run("%persist_fetch fit --task 3") == 3
    assert [type(each).__name__ for each in shell.run("%persist_fetch fit --errors return")] == [
        "int",
        "TaskFailed",
        "TaskCancelled",
        "int",
    ]
    marker.touch()
    shell.said()
    shell.run("%persist_rerun fit --failed")
    assert re.search(r"fit: run 2, 2 tasks → local", shell.said())
    job.wait(60)
    shell.said()
    shell.run("%persist_show fit")
    assert re.search(r"1 of 4 tasks failed; task 1 \(n=1\).*^2 +n=2 +done", shell.said(), re.MULTILINE | re.DOTALL)
    assert "each of its 4 tasks has an output of its own: %persist_log fit --task 0" in shell.refused("%persist_log fit")
    with pytest.raises(UsageError, match=r"persist_magic.load\('fit'\)\[0\]"):
        Job("fit").fetch()
    assert "only results are kept" in shell.refused("%persist_fetch fit x")
    shell.run("%%persist dry --dry-run --each n=range(4) --each m='ab'.split()\nn, m")
    assert "dry would run 4 tasks and ship --each" in shell.said()


def test_options_of_sweeps_are_for_sweeps(shell: Shell) -> None:
    shell.run("%%persist plain\n1")
    assert "--chunk and --limit are for sweeps" in shell.refused("%%persist other --limit 3\n1")
    assert "plain is one cell and no sweep: it has no tasks" in shell.refused("%persist_tasks plain")
    assert "--task and --errors are for sweeps" in shell.refused("%persist_fetch plain --task 1")
    assert "--each missing: NameError" not in shell.refused("%%persist other --each n=missing\nn")


def test_rows_and_info_count_the_tasks(session: Session, marker: Path) -> None:
    job = sweep(session, "fit", SLOWLY.format(path=str(marker)) + " / (n - 1)", n=range(4), options=["--slots", "1"])
    poller = Poller(root=session.root)

    def row() -> Any:
        poller.poll()
        return poller.rows["fit"]

    wait_until(lambda: row().tasks == Counts(4, done=1, failed=1, running=1, queued=1), "its counts")
    assert row().share == 0.5
    before = row()
    poller.poll()
    assert poller.rows["fit"].tasks == before.tasks
    marker.touch()
    job.wait(60)
    wait_until(lambda: row().state == "failed", "its end")
    assert row().tasks == Counts(4, done=3, failed=1)
    info = job.info()
    assert (info["tasks"]["failed"], info["cpu_seconds"] > 0, info["elapsed"] > 0) == (1, True, True)
    assert "1 of 4 tasks failed; task 1 (n=1): ZeroDivisionError" in table(rows([job]))


def test_a_damaged_journal_is_told(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    job = sweep(session, "fit", "n", n=range(3))
    job.wait(60)
    path = Path(job.directory.current_run().journal_path(0))
    data = path.read_bytes()
    at = data.index(b" done 1 ")
    path.write_bytes(data[: at - 3] + b"xxx" + data[at:])
    monkeypatch.setattr(tasks, "_ledgers", OrderedDict())  # what this process has read before
    again = load("fit")
    assert isinstance(again, Sweep)
    assert again.status().note == "1 line of its journal is damaged"
    assert again.fetch(errors="return")[::2] == [0, 2]
    assert again.states() == ["done", "failed", "done"]


def test_a_sweep_can_be_sent_as_a_notebook(session: Session, tmp_path: Path) -> None:
    job = sweep(session, "fit", "n * 2", n=range(3))
    job.wait(60)
    text = job.export(tmp_path / "fit.ipynb").read_text()
    assert "n=2" in text
