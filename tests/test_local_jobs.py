"""Jobs on this machine, from Python: what comes back, what went wrong, who may run, and that nothing is left over."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import persist_magic
from persist_magic.backends import get_backend
from persist_magic.errors import (
    BackendError,
    InvalidName,
    JobCancelled,
    JobExists,
    JobFailed,
    JobLives,
    JobTimeout,
    MissingNames,
    NoSuchJob,
    NotPickled,
    NotSubmitted,
    StoreError,
    Unpicklable,
)
from persist_magic.job import Job
from persist_magic.status import JobState
from persist_magic.store import Handle, Started, write_atomic
from persist_magic.submission import jobs, load

from .conftest import Session, alive, environment, started, wait_until

WAIT_FOR = "import os, time\nwhile not os.path.exists({path!r}): time.sleep(0.01)\n"


def running(job: Job) -> bool:
    return job.status().state is JobState.RUNNING


def started_pids(job: Job) -> tuple[int, int]:
    """Supervisor and child, once the child is known."""
    record = started(job)
    assert record.child is not None
    return record.supervisor.pid, record.child.pid


# ---------------------------------------------------------------- what comes back


def test_result_and_variables_come_back_in_another_session(session: Session) -> None:
    session.run("import math\nscale = 3\ndef area(r): return scale * math.pi * r * r")
    session.persist("calcpi", "radius = 2\nvalues = [area(r) for r in range(radius)]\nvalues[-1]")
    script = "import persist_magic as p; j = p.load('calcpi'); print(round(j.fetch(60), 6), sorted(j.variables), j.variables['radius'])"
    other = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True)
    assert other.stdout == "9.424778 ['radius', 'values'] 2\n"


def test_the_job_has_its_own_data(session: Session, marker: Path) -> None:
    session.run("data = [1, 2, 3]")
    job = session.persist("own", WAIT_FOR.format(path=str(marker)) + "sum(data)")
    session.run("data.append(100)")
    marker.touch()
    assert job.fetch(60) == 6


@pytest.mark.parametrize(
    ("cell", "result"),
    [
        ("1 + 1", 2),
        ("x = 3", None),
        ("x = 3\nx;", 3),
        ("for i in range(3): pass", None),
        ("import asyncio\nawait asyncio.sleep(0)\nawait asyncio.sleep(0, 'awaited')", "awaited"),
        ("if __name__ == '__main__':\n    y = 1\ny", 1),
        ("class C: pass\nC.__module__", "__main__"),
        ("", None),
        ("# nothing but words", None),
        ("from __future__ import annotations\ndef f(x: never): pass\nf.__annotations__['x']", "never"),
    ],
)
def test_the_result_is_the_last_expression(session: Session, cell: str, result: object) -> None:
    assert session.persist("last", cell).fetch(60) == result


def test_a_value_that_cannot_be_pickled_is_told_and_takes_nothing_down(session: Session) -> None:
    job = session.persist("partly", "import sqlite3\nbox = {'db': [sqlite3.connect(':memory:')]}\ngood = 7\nbox")
    with pytest.raises(
        NotPickled, match=r"result\['db'\]\[0\]: cannot pickle 'Connection': a database connection; it was \{'db': \["
    ):
        job.fetch(60)
    assert job.status().state is JobState.DONE
    assert job.variables["good"] == 7
    assert "a database connection" in job.variables.describe()["box"].error


def test_a_failed_job_raises_with_its_own_traceback_and_keeps_its_variables(session: Session) -> None:
    session.run("class Trouble(Exception):\n    pass")
    job = session.persist("bad", "before = 1\ndef inner():\n    raise Trouble('deep')\n\ninner()\nafter = 2")
    with pytest.raises(JobFailed, match="job bad failed: Trouble: deep") as caught:
        job.fetch(60)
    error = caught.value
    assert error.traceback.splitlines()[1] == f'  File "{job.path / "cell.py"}", line 6, in <module>'
    assert "    raise Trouble('deep')" in error.traceback
    assert "persist_magic/" not in error.traceback
    assert type(error.__cause__) is session.namespace["Trouble"]
    assert dict(job.variables).keys() == {"before", "inner"}
    assert "Trouble: deep" in job.stderr()


def test_an_error_of_ours_that_the_cell_meets_has_its_traceback_too(session: Session) -> None:
    job = session.persist("inner", "import persist_magic\npersist_magic.load('nosuch')")
    with pytest.raises(JobFailed, match="job inner failed: NoSuchJob: no job 'nosuch'") as caught:
        job.fetch(60)
    assert f'File "{job.path / "cell.py"}", line 3, in <module>' in caught.value.traceback


def test_a_damaged_capture_is_told_by_its_own_words(session: Session, marker: Path) -> None:
    first = session.persist("first", WAIT_FOR.format(path=str(marker)), options=["--slots", "1"])
    queued = session.persist("queued", "1", options=["--slots", "1"])
    (queued.path / "session.pkl").write_bytes(b"")
    marker.touch()
    first.wait(60)
    assert queued.wait(60).reason.startswith("captured data of queued is damaged: session.pkl has 0 bytes of ")


def test_an_exception_that_cannot_be_restored_is_told_all_the_same(session: Session) -> None:
    session.run("class Odd(Exception):\n    def __reduce__(self): return int, ('odd',)")
    job = session.persist("odd", "raise Odd('odd')")
    with pytest.raises(JobFailed, match="Odd: odd") as caught:
        job.fetch(60)
    assert caught.value.__cause__ is None


def test_lines_of_functions_from_earlier_cells_stand_in_the_traceback(session: Session) -> None:
    import linecache

    source = "def divide(a):\n    return 1 / a  # the culprit\n"
    linecache.cache["<an earlier cell>"] = (len(source), None, source.splitlines(True), "<an earlier cell>")
    session.run(source)
    with pytest.raises(JobFailed, match="the culprit"):
        session.persist("lines", "divide(0)").fetch(60)


def test_output_is_kept_apart_and_live(session: Session, marker: Path) -> None:
    cell = "import sys, os\nprint('to out')\nprint('to err', file=sys.stderr)\nos.system('echo from a child')\n"
    job = session.persist("talk", cell + WAIT_FOR.format(path=str(marker)))
    wait_until(lambda: job.stdout() == "to out\nfrom a child\n", "live output")
    assert job.stderr() == "to err\n"
    assert running(job)
    marker.touch()
    job.wait(60)


def test_a_log_is_followed_to_its_end(session: Session, marker: Path) -> None:
    job = session.persist("follow", "print('one')\n" + WAIT_FOR.format(path=str(marker)) + "print('two')")
    parts = job.follow()
    first = next(parts)
    marker.touch()
    assert first + "".join(parts) == "one\ntwo\n"


@pytest.mark.parametrize(("tail", "text"), [(0, ""), (1, "c\n"), (2, "b\nc\n"), (9, "a\nb\nc\n"), (None, "a\nb\nc\n")])
def test_the_tail_of_a_log(session: Session, tail: int | None, text: str) -> None:
    job = session.persist("tail", "print('a\\nb\\nc')")
    job.wait(60)
    assert job.stdout(tail) == text


def double(x: int, times: int = 2) -> int:
    return x * times


def test_a_function_is_persisted_with_its_arguments(root: str) -> None:
    job = persist_magic.persist(double, "doubled", args=(4,), kwargs={"times": 3})
    assert job.fetch(60) == 12
    assert dict(job.variables) == {}
    assert "def double" in job.cell()
    assert load("doubled").fetch() == 12


def inverse(number: int) -> float:
    return 1 / number


def test_a_functions_traceback_begins_in_the_function(root: str) -> None:
    with pytest.raises(JobFailed) as caught:
        persist_magic.persist(inverse, "inverse", args=(0,)).fetch(60)
    first = caught.value.traceback.splitlines()[1]
    assert first.endswith(", in inverse"), first
    with pytest.raises(JobFailed, match="TypeError"):
        persist_magic.persist(inverse, "called", args=(1, 2)).fetch(60)


def test_the_same_function_with_other_arguments_is_another_job(root: str) -> None:
    persist_magic.persist(double, "doubled", args=(4,))
    assert persist_magic.persist(double, "doubled", args=(4,)).fetch(60) == 8
    with pytest.raises(JobExists, match="job doubled exists and is not the same: the function or its arguments changed"):
        persist_magic.persist(double, "doubled", args=(5,))


def test_a_submission_that_fails_at_the_last_step_leaves_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    from persist_magic.backends import local

    def refuse(*_: object) -> int:
        raise OSError("no more processes")

    with monkeypatch.context() as broken:
        broken.setattr(local, "_launch", refuse)
        with pytest.raises(BackendError, match="job late was not started: no more processes"):
            session.persist("late", "1", options=["--slots", "1"])
    assert jobs(session.root) == []
    assert session.persist("late", "1", options=["--slots", "1"]).fetch(20) == 1


def test_a_job_is_awaited_beside_other_work(session: Session, marker: Path) -> None:
    job = session.persist("awaited", WAIT_FOR.format(path=str(marker)) + "'done'")

    async def both() -> list[object]:
        async def release() -> str:
            marker.touch()
            return "released"

        return await asyncio.gather(job, release())

    assert asyncio.run(both()) == ["done", "released"]


def test_waiting_has_an_end_and_the_job_goes_on(session: Session, marker: Path) -> None:
    job = session.persist("slow", WAIT_FOR.format(path=str(marker)))
    with pytest.raises(JobTimeout, match=r"job slow has not ended after 0.05 s .*; it goes on") as caught:
        job.fetch(timeout=0.05)
    assert isinstance(caught.value, TimeoutError)
    marker.touch()
    assert job.wait(60).state is JobState.DONE


def test_the_world_of_the_session_travels(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directory and sys.path are the session's, even if it changes them after submission; PYTHONPATH comes back."""
    work = tmp_path / "wörk 'dir'"
    work.mkdir()
    (work / "helper.py").write_text("NAME = 'from the notebook directory'\n")
    monkeypatch.chdir(work)
    monkeypatch.setenv("PYTHONPATH", "/some/where")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    job = session.persist("world", "import helper, os\n(os.getcwd(), helper.NAME, os.environ['PYTHONPATH'])")
    monkeypatch.chdir(tmp_path)
    assert job.fetch(60) == (str(work), "from the notebook directory", "/some/where")


def test_nothing_beside_the_notebook_shadows_what_the_worker_needs(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed_to_start = ["random", "types", "json", "re", "signal", "enum", "pickle", "dataclasses", "contextlib", "site"]
    needed_later = [
        "traceback",
        "hashlib",
        "dis",
        "reprlib",
        "linecache",
        "threading",
        "atexit",
        "typing",
        "copyreg",
        "asyncio",
    ]
    for name in needed_to_start + needed_later:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('shadowed')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    session.run("data = [1]\ndef f(): return data")
    good = session.persist("good", "data.append(2)\nlong = list(range(1000))\ndef g(): return f()\nfrozenset(long), g()")
    assert good.fetch(60) == (frozenset(range(1000)), [1, 2])
    assert sorted(good.variables) == ["data", "g", "long"]
    with pytest.raises(JobFailed, match="ZeroDivisionError: division by zero"):
        session.persist("bad", "1 / 0").fetch(60)


def test_a_script_may_start_the_interpreter(session: Session, tmp_path: Path) -> None:
    script = tmp_path / "in the image"
    script.write_text(f'#!/bin/sh\nIMAGE=new exec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    session.run("def image(): return os.environ['IMAGE']")
    assert session.persist("contained", "import os\nimage()", python=str(script)).fetch(60) == "new"


def test_a_lost_session_directory_is_told(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marker: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    first = session.persist("first", WAIT_FOR.format(path=str(marker)), options=["--slots", "1"])
    job = session.persist("second", "1", options=["--slots", "1"])
    monkeypatch.chdir(tmp_path)
    wait_until(lambda: running(first), "the first job")
    gone.rmdir()
    marker.touch()
    with pytest.raises(JobFailed, match=r"directory .*gone.* cannot be entered"):
        job.fetch(60)


# ---------------------------------------------------------------- how it ends


ENDS = [
    ("import sys; sys.exit(3)", "failed", "the cell left by sys.exit(3)"),
    ("import sys; sys.exit('no input')", "failed", "the cell left by sys.exit('no input')"),
    ("x = 1\nimport sys; sys.exit()", "done", "the cell left by sys.exit(), so it has no result"),
    ("import os; os._exit(0)", "failed", "its process ended with exit code 0 before the cell came to its end (os._exit?)"),
    ("import os; os._exit(5)", "failed", "its process ended with exit code 5 before the cell came to its end (os._exit?)"),
    ("import os; os.abort()", "failed", "killed by signal 6 (SIGABRT)"),
    ("raise KeyboardInterrupt", "failed", "KeyboardInterrupt"),
    ("import sys\nsys.stdout.close()\nsys.stderr.close()", "done", ""),
    ("import os\nos.close(1)\nos.close(2)", "done", ""),
    ("1 +", "", ""),
]


@pytest.mark.parametrize(("cell", "state", "reason"), ENDS[:-1], ids=[end[0].replace("\n", "; ") for end in ENDS[:-1]])
def test_every_end_is_told_truly(session: Session, cell: str, state: str, reason: str) -> None:
    status = session.persist("end", cell).wait(60)
    assert (status.state.value, status.reason) == (state, reason)


def test_kill_9_of_the_cell_is_told_with_its_peak_memory(session: Session) -> None:
    job = session.persist(
        "killed", "import os, signal\nblock = bytearray(300_000_000)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    status = job.wait(60)
    assert status.state is JobState.FAILED
    assert status.reason.startswith("killed by signal 9 (SIGKILL), perhaps out of memory; peak memory 3")
    assert job.info()["peak_memory"] > 300_000_000
    with pytest.raises(JobFailed, match="SIGKILL"):
        job.fetch()


def test_kill_9_of_the_supervisor_loses_nothing(session: Session, marker: Path) -> None:
    job = session.persist("orphan", WAIT_FOR.format(path=str(marker)) + "'kept'")
    supervisor, child = started_pids(job)
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not alive(supervisor), "the supervisor's end")
    assert alive(child)
    assert job.status().describe(time.time()).endswith("its supervisor is gone, the cell goes on")
    marker.touch()
    assert job.fetch(60) == "kept"
    assert job.status().note == "its supervisor ended before it could write the final record"


def test_kill_9_of_all_is_a_failure_and_stays_one(session: Session, marker: Path) -> None:
    job = session.persist("gone", WAIT_FOR.format(path=str(marker)))
    for pid in started_pids(job):
        os.kill(pid, signal.SIGKILL)
    status = job.wait(60)
    assert status.state is JobState.FAILED
    assert status.reason.startswith("all its processes vanished")
    assert (job.path / "observed.json").exists()
    assert session.job("gone").status().state is JobState.FAILED


def test_a_stopped_job_is_told_as_not_responding(session: Session, marker: Path) -> None:
    job = session.persist("stopped", WAIT_FOR.format(path=str(marker)))
    _, child = started_pids(job)
    os.kill(child, signal.SIGSTOP)
    wait_until(lambda: "not responding" in job.status().note, "the stop to be seen")
    os.kill(child, signal.SIGCONT)
    marker.touch()
    assert job.wait(60).state is JobState.DONE


def test_processes_that_the_cell_left_behind_are_ended_and_told(session: Session, marker: Path) -> None:
    cell = f"""
import subprocess, os
helper = subprocess.Popen(['setsid', 'sh', '-c', 'sleep 1000 & echo $! > {marker}; wait'])
while not os.path.exists({str(marker)!r}) or not open({str(marker)!r}).read().strip(): pass
'result'
"""
    job = session.persist("litter", cell)
    assert job.fetch(60) == "result"
    assert "the cell had left processes behind, they were ended: " in job.status().note
    assert "sleep" in job.status().note
    assert not alive(int(marker.read_text()))


def test_a_crash_after_the_result_takes_nothing_back(session: Session) -> None:
    job = session.persist("late", "import atexit, os\natexit.register(os.abort)\n'kept'")
    assert job.fetch(60) == "kept"
    assert job.status().note == "after its end the process was killed by signal 6 (SIGABRT)"


def test_a_child_that_the_cell_forks_and_forgets_hands_nothing_over(session: Session) -> None:
    job = session.persist(
        "fork", "import os\nparent = os.getpid()\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nos.getpid() == parent"
    )
    assert job.fetch(60) is True
    assert job.status().state is JobState.DONE


def test_pools_of_processes_work_as_in_the_session(session: Session) -> None:
    cell = """
import multiprocessing, concurrent.futures
def square(x): return x * x
with multiprocessing.get_context('fork').Pool(2) as pool:
    first = pool.map(square, range(4))
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    second = list(pool.map(square, range(4)))
with multiprocessing.get_context('spawn').Pool(1) as pool:
    third = pool.map(abs, [-1, -2])
first, second, third
"""
    job = session.persist("pools", cell)
    assert job.fetch(60) == ([0, 1, 4, 9], [0, 1, 4, 9], [1, 2])
    assert job.status().note == ""


def test_threads_and_atexit_functions_come_to_their_end(session: Session, marker: Path) -> None:
    cell = f"""
import threading, time, atexit
atexit.register(lambda: open({str(marker)!r}, 'a').write('atexit'))
threading.Thread(target=lambda: (time.sleep(0.1), open({str(marker)!r}, 'a').write('thread '))).start()
"""
    session.persist("threads", cell).wait(60)
    assert marker.read_text() == "thread atexit"


# ---------------------------------------------------------------- awkward cells


AWKWARD = [
    (
        "an exception whose str raises",
        "kept = 1\nclass Bad(Exception):\n    def __str__(self): raise RuntimeError\nraise Bad",
        "failed",
        "Bad: (its str() raised RuntimeError)",
    ),
    (
        "a group of exceptions",
        "kept = 1\nraise ExceptionGroup('several', [ValueError(1), KeyError(2)])"
        if sys.version_info >= (3, 11)
        else "kept = 1\nraise ValueError('several (2 sub-exceptions)')",
        "failed",
        None,
    ),
    ("endless recursion", "kept = 1\ndef f(): return f()\nf()", "failed", None),
    (
        "a class property that raises",
        "kept = 1\nclass P:\n    __class__ = property(lambda self: 1 / 0)\np = P()",
        "done",
        "",
    ),
    ("a repr that exits", "kept = 1\nclass P:\n    def __repr__(self): raise SystemExit\np = P()", "done", ""),
    (
        "a value whose file is gone",
        "kept = 1\nclass P:\n    def __getstate__(self): raise FileNotFoundError('data.csv')\np = P()",
        "done",
        "",
    ),
    ("standard streams closed by number", "kept = 1\nimport os\nfor fd in (0, 1, 2): os.close(fd)", "done", ""),
    (
        "stdout replaced",
        "kept = 1\nimport sys, io\nprint('first', end='')\nsys.stdout = io.StringIO()\nprint('second')",
        "done",
        "",
    ),
    ("a lone surrogate", "kept = 1\nraise ValueError('bad \\udce9')", "failed", "ValueError: bad \udce9"),
    ("another directory", "kept = 1\nimport os\nos.chdir('/')\nos.umask(0)", "done", ""),
    ("another session of processes", "kept = 1\nimport os\nif os.getpgrp() != os.getpid(): os.setsid()", "done", ""),
    (
        "signals of its own",
        "kept = 1\nimport signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "done",
        "",
    ),
    ("a loop of its own", "import asyncio\nasync def f(): return 1\nkept = asyncio.run(f())", "done", ""),
    ("names that are not ASCII", "größe = 2\nkept = eval('größe - 1')", "done", ""),
    ("tabs and line ends of another system", "if True:\r\n\tkept = 1\r\n", "done", ""),
    ("a long sum", "kept = " + " + ".join(["0"] * 600) + " + 1", "done", ""),
    (
        "many branches",
        "kept = 0\nif kept == 1: pass\n" + "".join(f"elif kept == {i}: pass\n" for i in range(2, 300)) + "else: kept = 1",
        "done",
        "",
    ),
]


@pytest.mark.parametrize(("cell", "state", "reason"), [case[1:] for case in AWKWARD], ids=[case[0] for case in AWKWARD])
def test_an_awkward_cell_is_told_truly_and_loses_only_what_is_awkward(
    session: Session, cell: str, state: str, reason: str | None
) -> None:
    job = session.persist("awkward", cell)
    status = job.wait(60)
    assert status.state.value == state
    assert reason is None or status.reason == reason
    assert job.variables["kept"] == 1


def test_output_before_stdout_was_replaced_is_kept(session: Session) -> None:
    job = session.persist("replaced", "import sys, io\nprint('first', end='')\nsys.stdout = io.StringIO()")
    job.wait(60)
    assert job.stdout() == "first"


def test_a_name_that_the_cell_deletes_is_no_variable(session: Session) -> None:
    session.run("x, y = None, [1]")
    job = session.persist("del", "del x, y\n42")
    assert job.fetch(60) == 42
    assert dict(job.variables) == {}


def test_one_change_does_not_make_the_rest_changed(session: Session) -> None:
    session.run("alist = ['a']\nwords = [f'word{i}' for i in range(9000)]\nzdict = {f'key{i}': i for i in range(3000)}")
    job = session.persist("one", "alist.append('q')\nlen(words) + len(zdict)")
    assert job.fetch(60) == 12_000
    assert list(job.variables) == ["alist"]
    session.run("alist.append('mine')")
    with pytest.raises(JobExists) as caught:
        session.persist("one", "alist.append('q')\nlen(words) + len(zdict)")
    assert caught.value.differences == ("alist changed (list len 1 → list len 2)",)


def test_deeply_nested_data_that_was_only_read_is_no_variable(session: Session) -> None:
    session.run("deep = []\nfor _ in range(3000): deep = [deep]")
    job = session.persist("deep", "n, at = 0, deep\nwhile at: n, at = n + 1, at[0]\nn")
    assert job.fetch(60) == 3000
    assert sorted(job.variables) == ["at", "n"]


def test_a_forked_childs_exit_code_is_its_own(session: Session) -> None:
    cell = "import os, sys\npid = os.fork()\nif pid == 0: sys.exit(3)\nos.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
    assert session.persist("exit", cell).fetch(60) == 3


def test_forked_children_end_by_sigterm_as_in_the_session(session: Session) -> None:
    cell = "import multiprocessing, time\np = multiprocessing.get_context('fork').Process(target=time.sleep, args=(1000,))\np.start(); p.terminate(); p.join()\np.exitcode"
    job = session.persist("sigterm", cell)
    assert job.fetch(60) == -15
    assert job.stderr() == ""


def test_a_value_that_its_own_methods_refuse_at_capture_is_named(session: Session) -> None:
    session.run("class P:\n    def __getstate__(self): raise FileNotFoundError('data.csv')\nbox = [P()]")
    with pytest.raises(Unpicklable, match=r"box\[0\]: data.csv"):
        session.persist("box", "box")


def test_a_deleted_directory_is_told(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(persist_magic.PersistError, match="directory has been deleted; change to another"):
        session.persist("nowhere", "1")
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------- cancel


def test_cancel_lets_finally_run(session: Session, marker: Path) -> None:
    cell = f"import time\nkept = 1\ntry:\n    print('in', flush=True)\n    time.sleep(1000)\nfinally:\n    open({str(marker)!r}, 'w').write('cleaned')"
    job = session.persist("cancelme", cell)
    wait_until(lambda: job.stdout() == "in\n", "the cell")
    job.cancel()
    status = job.wait(60)
    assert (status.state, status.reason) == (JobState.CANCELLED, f"cancelled by {job.spec().user}")
    assert marker.read_text() == "cleaned"
    assert job.variables["kept"] == 1
    with pytest.raises(JobCancelled, match="%persist_rerun cancelme runs it again"):
        job.fetch()


def test_cancel_lets_the_finally_of_an_awaiting_cell_run(session: Session) -> None:
    cell = "import asyncio\nprint('in')\ntry:\n    await asyncio.sleep(1000)\nfinally:\n    await asyncio.sleep(0.01)\n    print('cleaned')"
    job = session.persist("awaiting", cell)
    wait_until(lambda: job.stdout() == "in\n", "the cell")
    job.cancel()
    assert job.wait(60).state is JobState.CANCELLED
    assert job.stdout() == "in\ncleaned\n"


def test_touching_the_cancel_file_is_a_cancel(session: Session, marker: Path) -> None:
    job = session.persist("touched", WAIT_FOR.format(path=str(marker)))
    started_pids(job)
    (job.path / "cancel").touch()
    assert job.wait(60).state is JobState.CANCELLED


def test_a_job_cancelled_as_soon_as_it_was_submitted_gives_its_slot_back(session: Session) -> None:
    first = session.persist("first", "import time; time.sleep(1000)", options=["--slots", "1"])
    first.cancel(force=True)
    assert session.persist("second", "2", options=["--slots", "1"]).fetch(30) == 2
    assert first.wait(30).state is JobState.CANCELLED


def test_forced_cancel_ends_a_cell_that_will_not_and_every_descendant(session: Session, marker: Path) -> None:
    cell = f"""
import os, signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(['setsid', 'sh', '-c', 'trap "" TERM; (trap "" TERM; sleep 1000 & echo $! > {marker}.tmp; mv {marker}.tmp {marker}; wait) & wait'])
while True: time.sleep(1)
"""
    job = session.persist("stubborn", cell)
    wait_until(marker.exists, "the grandchild")
    pids = (*started_pids(job), int(marker.read_text()))
    job.cancel(force=True)
    assert job.wait(60).state is JobState.CANCELLED
    wait_until(lambda: not any(alive(pid) for pid in pids), "the end of every descendant")


def test_a_queued_job_is_cancelled_before_it_starts(session: Session, marker: Path) -> None:
    first = session.persist("first", WAIT_FOR.format(path=str(marker)), options=["--slots", "1"])
    queued = session.persist("queued", "1", options=["--slots", "1"])
    wait_until(lambda: queued.status().reason == "waiting for a slot, 1 before it", "the queue")
    queued.cancel()
    assert queued.wait(60).reason.endswith("before it started")
    assert queued.status().state is JobState.CANCELLED
    marker.touch()
    assert first.wait(60).state is JobState.DONE


def test_a_job_whose_supervisor_is_gone_is_cancelled_too(session: Session, marker: Path) -> None:
    job = session.persist("orphan", WAIT_FOR.format(path=str(marker)))
    supervisor, child = started_pids(job)
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not alive(supervisor), "the supervisor's end")
    job.cancel()
    assert job.wait(60).state is JobState.CANCELLED
    wait_until(lambda: not alive(child), "the child's end")


def test_cancelling_what_has_ended_changes_nothing(session: Session) -> None:
    job = session.persist("over", "1")
    job.wait(60)
    job.cancel()
    assert job.status().state is JobState.DONE
    assert not (job.path / "cancel").exists()


def test_a_signal_from_somebody_else_is_no_cancel(session: Session, marker: Path) -> None:
    job = session.persist("terminated", WAIT_FOR.format(path=str(marker)))
    supervisor, _ = started_pids(job)
    os.kill(supervisor, signal.SIGTERM)
    status = job.wait(60)
    assert (status.state, status.reason) == (JobState.FAILED, "terminated from outside (kill, or the machine's shutdown)")


# ---------------------------------------------------------------- the queue


def test_jobs_beyond_the_slots_wait_and_start_in_order(session: Session, tmp_path: Path, marker: Path) -> None:
    order = tmp_path / "order"
    gate = session.persist("gate", WAIT_FOR.format(path=str(marker)), options=["--slots", "1"])
    wait_until(lambda: running(gate), "the first job")
    names = ["j3", "j1", "j4", "j2"]
    made = [session.persist(name, f"open({str(order)!r}, 'a').write('{name} ')", options=["--slots", "1"]) for name in names]
    wait_until(lambda: made[-1].status().reason == "waiting for a slot, 4 before it", "the queue")
    assert {job.status().state for job in made} == {JobState.QUEUED}
    marker.touch()
    for job in made:
        assert job.wait(60).state is JobState.DONE
    assert order.read_text().split() == names


def test_as_many_run_at_once_as_there_are_slots(session: Session, tmp_path: Path, marker: Path) -> None:
    cell = f"import os\nopen(os.path.join({str(tmp_path)!r}, 'up-%d' % os.getpid()), 'w')\n" + WAIT_FOR.format(
        path=str(marker)
    )
    made = [session.persist(f"job{i}", cell, options=["--slots", "2"]) for i in range(4)]
    wait_until(lambda: sum(map(running, made)) == 2, "two running")
    wait_until(lambda: [job.status().state for job in made[2:]] == [JobState.QUEUED] * 2, "two queued")
    assert len(list(tmp_path.glob("up-*"))) <= 2
    marker.touch()
    assert {job.wait(60).state for job in made} == {JobState.DONE}
    slots = Path(session.root) / ".slots" / socket.gethostname()
    wait_until(lambda: not os.listdir(slots), "the tickets' return")


def test_a_killed_job_gives_its_slot_back(session: Session, marker: Path) -> None:
    first = session.persist("first", WAIT_FOR.format(path=str(marker)), options=["--slots", "1"])
    second = session.persist("second", "'ran'", options=["--slots", "1"])
    pids = started_pids(first)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert second.fetch(60) == "ran"


# ---------------------------------------------------------------- whose process, whose host


def _moved(job: Job, **changes: str) -> None:
    """Let the records say that the job's processes are elsewhere."""
    run = job.directory.run(1)
    started = run.started()
    assert started is not None
    assert started.child is not None
    moved = Started(
        started.time, dataclasses.replace(started.supervisor, **changes), dataclasses.replace(started.child, **changes)
    )
    write_atomic(run.started_path, moved.to_bytes())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"start_time": "1"}, "all its processes vanished"),
        ({"boot_id": "an-older-boot"}, "was rebooted while the job was not finished"),
    ],
    ids=["reused pid", "reboot"],
)
def test_a_pid_that_is_another_process_now_is_not_the_job(
    session: Session, marker: Path, change: dict[str, str], reason: str
) -> None:
    job = session.persist("reused", WAIT_FOR.format(path=str(marker)))
    pids = started_pids(job)
    _moved(job, **change)
    status = job.status()
    assert status.state is JobState.FAILED
    assert reason in status.reason
    get_backend("local").cancel(job._whole_query(), force=True)
    assert all(alive(pid) for pid in pids), "no signal may reach a process that is not the job's"
    marker.touch()
    wait_until(lambda: not any(alive(pid) for pid in pids), "the job's end")


def test_a_job_of_another_host_is_shown_by_its_heartbeat_and_cancelled_through_the_file(
    session: Session, marker: Path
) -> None:
    job = session.persist("remote", WAIT_FOR.format(path=str(marker)))
    supervisor, _ = started_pids(job)
    _moved(job, host="node17", boot_id="of-node17")
    status = job.status()
    assert (status.state, status.source) == (JobState.RUNNING, "heartbeat")
    beat = job.path / "run-1" / "heartbeat"
    os.kill(supervisor, signal.SIGSTOP)
    os.utime(beat, (time.time() - 720, time.time() - 720))
    run = job.directory.run(1)
    record = run.started()
    assert record is not None
    write_atomic(run.started_path, dataclasses.replace(record, time=time.time() - 900).to_bytes())
    stale = job.status()
    assert (stale.state, stale.source) == (JobState.RUNNING, "heartbeat")
    assert "when last seen 12 min ago" in stale.describe(time.time())
    job.cancel()
    os.kill(supervisor, signal.SIGCONT)
    assert job.wait(60).state is JobState.CANCELLED


def test_a_job_that_no_backend_took_is_told(session: Session) -> None:
    job = session.persist("empty", "41 + 1")
    job.wait(60)
    run = job.directory.create_run(2, None)
    submitted = dataclasses.replace(job.directory.run(1).submitted() or pytest.fail("no record"), time=time.time() - 120)
    write_atomic(run.submitted_path, submitted.to_bytes())
    wait_until(lambda: job.status().state is JobState.EMPTY, "the end of the first run's supervisor")
    with pytest.raises(NotSubmitted, match="%persist_rerun empty starts it"):
        job.fetch(60)
    again = session.persist("empty", "41 + 1")
    assert (again.directory.runs(), again.directory.run(1).ended() is not None) == ([1, 2], True)
    job.rerun()
    assert job.fetch(60) == 42


def test_a_worker_that_cannot_start_is_told_with_what_it_said(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    job = session.persist("nopython", "1")
    status = job.wait(60)
    assert status.state is JobState.FAILED
    assert "ended before the cell could start: " in status.reason
    assert "/no/such/python" in status.reason
    assert "/no/such/python" in job.launch_log()


def test_a_job_runs_by_hand_as_the_next_run(session: Session) -> None:
    job = session.persist("byhand", "import os\nos.environ.get('HAND', 'no')")
    assert job.fetch(60) == "no"
    subprocess.run(["sh", str(job.path / "job.sh")], check=True, env=environment(HAND="yes"))
    assert job.directory.runs() == [1, 2]
    assert job.fetch(60) == "yes"


def test_a_job_whose_records_a_loss_of_power_emptied_runs_by_hand_as_the_next_run(session: Session, marker: Path) -> None:
    job = session.persist("byhand", WAIT_FOR.format(path=str(marker)) + "'ran'")
    wait_until(lambda: running(job), "the job")
    for pid in started_pids(job):
        os.kill(pid, signal.SIGKILL)
    for path in (job.path / "run-1" / "started.json", job.path / "handle.json"):
        path.write_bytes(b"")
    marker.touch()
    subprocess.run(["sh", str(job.path / "job.sh")], check=True, env=environment())
    assert job.directory.runs() == [1, 2]
    assert job.fetch(60) == "ran"


def test_a_cancelled_job_runs_by_hand(session: Session, marker: Path) -> None:
    job = session.persist("byhand", WAIT_FOR.format(path=str(marker)) + "'ran'")
    wait_until(lambda: running(job), "the job")
    job.cancel()
    job.wait(60)
    marker.touch()
    wait_until(
        lambda: subprocess.run(["sh", str(job.path / "job.sh")], env=environment(), check=False).returncode == 0, "the run"
    )
    assert job.fetch(60) == "ran"


def test_a_queued_job_is_not_run_by_hand_too(session: Session, marker: Path) -> None:
    first = session.persist("first", WAIT_FOR.format(path=str(marker)), options=["--slots", "1"])
    queued = session.persist("queued", "1", options=["--slots", "1"])
    wait_until(lambda: queued.status().reason == "waiting for a slot, 1 before it", "the queue")
    done = subprocess.run(
        ["sh", str(queued.path / "job.sh")], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "run 1 of queued is queued" in done.stderr
    marker.touch()
    assert (first.wait(60).state, queued.fetch(60)) == (JobState.DONE, 1)


def test_info_tells_what_ps_would(session: Session, marker: Path) -> None:
    job = session.persist("info", "block = bytearray(50_000_000)\n" + WAIT_FOR.format(path=str(marker)))
    _, child = started_pids(job)
    wait_until(lambda: (job.info()["native"] or {}).get("memory", 0) > 50_000_000, "the block")
    info = job.info()
    assert (info["state"], info["native"]["pid"], info["native"]["processes"]) == ("running", child, 1)
    assert info["native"]["threads"] >= 1
    json.dumps(info)
    marker.touch()
    job.wait(60)
    assert job.info()["native"] == {}


# ---------------------------------------------------------------- again


def test_the_identical_cell_attaches(session: Session) -> None:
    session.run("n = 5\nwords = {'a', 'b', 'c'}\ndef f(): return n, words")
    first = session.submit("same", "f()")
    again = session.submit("same", "f()")
    assert (first.attached, again.attached) == (False, True)
    assert again.job.fetch(60) == (5, {"a", "b", "c"})
    assert again.job.directory.runs() == [1]


@pytest.mark.parametrize(
    ("change", "cell", "told"),
    [
        ("n = 6", "f()", "n changed"),
        ("n = [1]", "f()", r"n changed \(int → list len 1\)"),
        ("def f(): return n + 1", "f()", "f changed"),
        ("m = 1", "f() + m", "the cell changed; m is new"),
        ("", "1", "the cell changed; f is no longer used; n is no longer used"),
    ],
)
def test_another_cell_under_the_name_is_refused_and_told_what_changed(
    session: Session, change: str, cell: str, told: str
) -> None:
    session.run("n = 5\ndef f(): return n")
    session.persist("same", "f()").wait(60)
    session.run(change)
    with pytest.raises(JobExists, match=f"job same exists and is not the same: .*{told}.*--replace"):
        session.persist("same", cell)
    assert session.job("same").fetch() == 5


def test_replace_takes_the_place_of_what_has_ended_only(session: Session, marker: Path) -> None:
    old = session.persist("name", WAIT_FOR.format(path=str(marker)) + "'old'")
    with pytest.raises(JobLives, match=r"cannot replace job name while it lives .*; %persist_cancel name first"):
        session.persist("name", "'new'", replace=True)
    with pytest.raises(JobExists, match="it is still live: %persist_cancel name first"):
        session.persist("name", "'new'")
    marker.touch()
    assert old.fetch(60) == "old"
    assert session.persist("name", "'new'", replace=True).fetch(60) == "new"
    assert os.listdir(session.root).count("name") == 1
    assert not [entry for entry in os.listdir(session.root) if entry.startswith((".new", ".old", ".del"))]


def test_rerun_makes_the_next_run_and_keeps_the_older(session: Session, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    cell = f"open({str(counter)!r}, 'a').write('x')\ncount = len(open({str(counter)!r}).read())\nprint('run', count)\n1 // (count - 1)"
    job = session.persist("again", cell)
    assert job.wait(60).state is JobState.FAILED
    job.rerun()
    assert job.fetch(60) == 1
    assert job.status().run == 2
    assert job.stdout() == "run 2\n"
    assert (job.path / "run-1" / "stdout").read_text() == "run 1\n"
    assert job.directory.run(1).ended().outcome == "failed"


def test_a_cancelled_job_is_rerun(session: Session, marker: Path) -> None:
    job = session.persist("again", WAIT_FOR.format(path=str(marker)) + "'ran'")
    wait_until(lambda: running(job), "the job")
    with pytest.raises(JobLives, match="cannot rerun job again while it lives"):
        job.rerun()
    job.cancel()
    assert job.wait(60).state is JobState.CANCELLED
    marker.touch()
    assert job.rerun().fetch(60) == "ran"


def test_cleanup_deletes_what_has_ended_and_nothing_else(session: Session, marker: Path) -> None:
    job = session.persist("live", WAIT_FOR.format(path=str(marker)))
    ended = session.persist("ended", "1")
    ended.wait(60)
    with pytest.raises(JobLives, match="cannot delete job live while it lives"):
        job.cleanup()
    ended.cleanup()
    assert [each.name for each in jobs(session.root)] == ["live"]
    with pytest.raises(NoSuchJob):
        ended.status()
    marker.touch()
    job.wait(60)


def test_of_many_who_submit_the_same_name_one_wins(session: Session) -> None:
    script = "import persist_magic.submission as j, sys\nfrom persist_magic.capture.cell import Source\ns = Source('cell', sys.argv[1], sys.argv[1])\ntry:\n    print(j.submit('race', s, globals()).attached)\nexcept j.JobExists:\n    print('refused')"
    racers = [
        subprocess.Popen([sys.executable, "-c", script, str(i)], env=environment(), stdout=subprocess.PIPE, text=True)
        for i in range(6)
    ]
    words = sorted(racer.communicate()[0].strip() for racer in racers)
    assert words == ["False"] + ["refused"] * 5
    assert session.job("race").fetch(60) in range(6)


# ---------------------------------------------------------------- bad input


def test_bad_input_is_one_line_and_leaves_nothing(session: Session) -> None:
    session.run(
        "import threading, sqlite3\nclass Loader: pass\nmodel = Loader()\nmodel.source = [sqlite3.connect(':memory:')]"
    )
    session.persist("good", "1").wait(60)
    before = sorted(os.listdir(session.root))
    for name, cell, options, error, words in [
        ("x", "missing + 1", {}, MissingNames, "the cell reads missing, not defined here"),
        (
            "x",
            "model",
            {},
            Unpicklable,
            r"model\.source\[0\]: cannot pickle 'Connection': a database connection; .*--without model",
        ),
        ("x", "1", {"add": ("nothere",)}, MissingNames, "nothere"),
        ("../x", "1", {}, InvalidName, "no name for a job"),
        ("x", "1", {"backend": "moon"}, BackendError, "backend moon: there is none of that name; there are local"),
        (
            "x",
            "1",
            {"options": ["--gpus", "1"]},
            BackendError,
            "unrecognized arguments: --gpus 1; after -- it takes --slots N",
        ),
        ("x", "1", {"options": ["--slots", "none"]}, BackendError, "invalid int value"),
        ("x", "def f(:", {}, persist_magic.PersistError, "the cell is no valid Python, line 2"),
    ]:
        with pytest.raises(error, match=words) as caught:
            session.persist(name, cell, **options)
        assert "\n" not in str(caught.value)
    assert sorted(os.listdir(session.root)) == before
    assert session.job("good").fetch() == 1


def test_what_is_left_out_may_be_unpicklable(session: Session) -> None:
    session.run("import sqlite3\nconn = sqlite3.connect(':memory:')\nextra = 5")
    job = session.persist(
        "without", "import sqlite3\nif False:\n    conn\neval('ext' + 'ra')", omit=("conn",), add=("extra",)
    )
    assert job.fetch(60) == 5


def test_an_unknown_name_suggests_a_known_one(session: Session) -> None:
    session.persist("calcpi", "1").wait(60)
    with pytest.raises(NoSuchJob, match=r"no job 'calcip' in .*; did you mean calcpi\?"):
        session.job("calcip")


def test_a_full_disk_is_told_and_leaves_nothing(session: Session, small_disk: Path) -> None:
    session.root = str(small_disk / "root")
    session.run("big = list(range(10**6))")
    with pytest.raises(
        StoreError, match=r"cannot write job .*: No space left on device; free some room, or choose another place"
    ):
        session.persist("big", "len(big)")
    assert not [entry for entry in os.listdir(session.root) if not entry.startswith((".gitignore", ".lock"))]
    assert session.persist("small", "1").fetch(60) == 1


def test_a_disk_that_fills_while_the_job_runs_is_told(session: Session, small_disk: Path) -> None:
    session.root = str(small_disk / "root")
    job = session.persist("big", "import numpy\nsmall, array, big = 1, numpy.ones(10**6), list(range(10**6))\nbig")
    status = job.wait(60)
    lost = "result, array, big could not be written: No space left on device"
    assert (status.state, status.reason) == (JobState.FAILED, lost)
    assert job.variables["small"] == 1
    with pytest.raises(
        NotPickled, match="array of job big could not be kept: could not be written: No space left on device"
    ):
        job.variables["array"]


def test_a_read_only_disk_is_told(session: Session, small_disk: Path) -> None:
    session.root = str(small_disk / "root")
    done = session.persist("calc", "7")
    assert done.fetch(60) == 7
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    wait_until(lambda: subprocess.run(remount, check=False).returncode == 0, "the supervisor's end")
    with pytest.raises(StoreError, match="Read-only file system"):
        session.persist("more", "1")
    assert session.job("calc").fetch() == 7
    with pytest.raises(StoreError, match="Read-only file system"):
        session.job("calc").cleanup()
    assert session.job("calc").fetch() == 7


def test_a_handle_from_a_killed_session_is_written_by_the_worker(session: Session, marker: Path) -> None:
    job = session.persist("handle", WAIT_FOR.format(path=str(marker)))
    handle = job.directory.handle()
    assert handle is not None
    marker.touch()
    job.wait(60)
    os.unlink(job.directory.handle_path)
    subprocess.run(["sh", str(job.path / "job.sh")], check=True, env=environment())
    again = job.directory.handle()
    assert isinstance(again, Handle)
    assert again.run == 2


def test_a_session_keeps_no_thread_and_no_child(session: Session) -> None:
    before = threading.active_count()
    session.persist("clean", "1").wait(60)
    assert threading.active_count() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
