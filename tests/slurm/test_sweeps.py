"""Sweeps on a real Slurm: arrays of chunks, how tasks end there, and that a chunk repeats only what it had not finished."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from persist_magic import backends
from persist_magic.backends import slurm as slurm_backend
from persist_magic.backends import slurm_programs
from persist_magic.each import checked
from persist_magic.errors import BackendError, TasksFailed
from persist_magic.status import JobState
from persist_magic.store import write_atomic
from persist_magic.submission import jobs, load
from persist_magic.sweep import Sweep
from persist_magic.tasks import Counts, ledger

from ..cluster.cluster import Cluster
from ..conftest import wait_until
from .conftest import SlurmSession, shim
from .test_jobs import SOON

WAIT_FOR = "import os, time\nwhile n > 1 and not os.path.exists({path!r}): time.sleep(0.01)\n"
FOREVER = "import time\nwhile n: time.sleep(0.05)\nn"


def sweep(session: SlurmSession, name: str, cell: str, values: Iterable[Any], *words: str, **options: Any) -> Sweep:
    """A sweep of a cell over `n`."""
    job = session.persist(name, cell, *words, each=checked([(("n",), values)]), **options)
    assert isinstance(job, Sweep)
    return job


def reaches(job: Sweep, *states: str, seconds: float = 90) -> None:
    wait_until(lambda: job.states() == list(states), f"{states}, now {job.states()}", seconds)


def names(cluster: Cluster, name: str) -> list[str]:
    """Slurm's ids of the jobs of a name that wait or run."""
    return cluster.run("squeue", "-h", "-r", "-n", name, "-o", "%i").split()


# first, since it takes longest
def test_a_chunk_that_runs_out_of_time(slurm: SlurmSession) -> None:
    job = sweep(slurm, "late", FOREVER, [0, 1, 0], "-t", "1", chunk=3)
    status = job.wait(200)
    assert status.state is JobState.FAILED
    assert re.match(
        r"2 of 3 tasks were not finished: ran out of time after 0:01:00; %persist_rerun late -- -t 0:02:00", status.reason
    )
    assert job.states() == ["done", "failed", "failed"]


def test_a_sweep_is_one_array(slurm: SlurmSession, calls: Callable[[], list[str]]) -> None:
    slurm.run("import math\nscale = 3\ndef area(r): return scale * math.pi * r * r")
    cell = "import os\nprint('task', n)\n(round(area(n), 6), os.environ['SLURM_ARRAY_TASK_ID'])"
    job = sweep(slurm, "areas", cell, range(4), "-t", "10")
    assert job.fetch(90) == [(round(3 * 3.141592653589793 * n * n, 6), str(n)) for n in range(4)]
    assert calls().count("sbatch") == 1
    assert job[2].stdout() == "task 2\n"
    assert re.fullmatch(r"\d+", job.info()["id"])
    assert job.counts == Counts(4, done=4)


def test_tasks_of_a_chunk_run_one_after_the_other(slurm: SlurmSession) -> None:
    cell = "import os, time\ntime.sleep(0.05)\n(os.environ['SLURM_ARRAY_TASK_ID'], os.getppid(), time.time(), n)"
    job = sweep(slurm, "chunks", cell, range(8), chunk=3)
    got = job.fetch(90)
    assert [element for element, *_ in got] == list("00011122")
    assert len({parent for _, parent, *_ in got}) == 3
    assert [n for *_, n in got] == list(range(8))
    for chunk in (got[:3], got[3:6], got[6:]):
        times = [moment for _, _, moment, _ in chunk]
        assert times == sorted(times)
    # a journal, stdout, stderr and values for each
    assert len(os.listdir(job.path / "run-1")) == 3 * 4 + 1


def test_how_tasks_are_grouped() -> None:
    backend = slurm_backend.SlurmBackend()
    watch = backend._watch("")
    watch._configuration = "MaxArraySize = 1001\n"
    for count, wish, chunk, arrays in (
        (200, 0, 1, [200]),
        (256, 0, 1, [256]),
        (257, 0, 6, [43]),
        (10_000, 0, 209, [48]),
        (10_000, 1, 1, [1001] * 9 + [991]),
        (7, 3, 3, [3]),
        (3, 10, 10, [1]),
    ):
        found = backend.settings((), (), slurm_backend.Tasks(count, wish))
        assert (found["chunk"], found["arrays"]) == (chunk, arrays), count


@pytest.fixture
def small_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster whose arrays may have three jobs."""
    monkeypatch.setattr(slurm_programs.Watch, "largest_array", lambda _: 3)


@pytest.mark.usefixtures("small_arrays")
def test_more_than_an_array_may_have_are_several(slurm: SlurmSession, calls: Callable[[], list[str]]) -> None:
    cell = "import os\n(n, os.environ['SLURM_ARRAY_JOB_ID'], os.environ['SLURM_ARRAY_TASK_ID'])"
    job = sweep(slurm, "many", cell, range(8), chunk=1)
    got = job.fetch(120)
    ids = job.info()["id"].split(",")
    assert len(ids) == 3
    assert got == [(n, ids[n // 3], str(n % 3)) for n in range(8)]
    assert calls().count("sbatch") == 3


@pytest.mark.usefixtures("small_arrays")
def test_of_a_sweep_that_is_not_taken_whole_nothing_stays(
    slurm: SlurmSession, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = f'if [ -e "{tmp_path}/one" ]; then echo "sbatch: error: no more" >&2; exit 1; fi\ntouch "{tmp_path}/one"\nexec $REAL "$@"'
    shim(tmp_path / "bin", monkeypatch, "sbatch", second)
    with pytest.raises(BackendError, match="job half was not taken: sbatch: no more"):
        sweep(slurm, "half", "n", range(5), "--hold", chunk=1)
    assert jobs(slurm.root) == []
    wait_until(lambda: not names(cluster, "half"), "the removal of the first array")


@pytest.mark.usefixtures("small_arrays")
def test_a_limit_holds_over_all_arrays(slurm: SlurmSession, cluster: Cluster, marker: Path) -> None:
    cell = f"""
import os, time
os.makedirs({str(marker)!r}, exist_ok=True)
mine = os.path.join({str(marker)!r}, str(n))
open(mine, "w").close()
begin, most = time.monotonic(), 0
while time.monotonic() < begin + (0.5 if most > 1 else 5):
    most = max(most, len(os.listdir({str(marker)!r})))
    time.sleep(0.01)
os.unlink(mine)
most
"""
    job = sweep(slurm, "few", cell, range(5), chunk=1, limit=2)
    assert "few" in repr(job)
    assert max(job.fetch(120)) == 2


def test_a_submission_whose_answer_is_lost_is_found(
    slurm: SlurmSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim(tmp_path / "bin", monkeypatch, "sbatch", '$REAL "$@" >/dev/null\nexec sleep 1000')
    backends.get_backend("slurm").timeout = 10.0  # type: ignore[attr-defined]
    assert sweep(slurm, "hanging", "n", range(3)).fetch(90) == [0, 1, 2]


def test_a_sweep_of_which_a_killed_session_left_no_handle_is_found(slurm: SlurmSession) -> None:
    job = sweep(slurm, "orphan", "n", range(3), "--hold")
    os.unlink(job.directory.handle_path)
    status = wait_until(lambda: (s := job.status()).source == "squeue" and s, "squeue's word")
    assert status.state is JobState.QUEUED
    job.cancel()
    assert job.wait(60).state is JobState.CANCELLED


def test_without_a_handle_chunks_that_run_and_wait_are_told_and_cancelled(slurm: SlurmSession, cluster: Cluster) -> None:
    job = sweep(slurm, "unhandled", FOREVER, [1, 1, 1, 1], chunk=1, limit=1)
    os.unlink(job.directory.handle_path)  # the session was killed before it could write it
    wait_until(lambda: sorted(job.states()) == ["queued"] * 3 + ["running"], "one that runs")
    assert job.info()["id"] in ("", cluster.run("squeue", "-h", "-n", "unhandled", "-o", "%A").split()[0])
    job.cancel()
    assert job.wait(90).state is JobState.CANCELLED
    wait_until(lambda: not names(cluster, "unhandled"), "an empty queue")


@pytest.mark.usefixtures("small_arrays")
def test_a_session_that_is_killed_while_it_submits_arrays(
    slurm: SlurmSession, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_backend, "LOST_SECONDS", 3.0)
    job = sweep(slurm, "cut", "n", range(8), "--hold", chunk=1)
    ids = job.info()["id"].split(",")
    handle = job.directory.handle()
    assert handle is not None
    cluster.run("scancel", ids[2])  # as if there had never been a third array
    write_atomic(job.directory.handle_path, dataclasses.replace(handle, id=ids[0]).to_bytes())
    cluster.run("scontrol", "release", ids[0])
    cluster.run("scontrol", "release", ids[1])  # of which the handle tells nothing
    assert job.wait(90).state in (JobState.FAILED, JobState.CANCELLED)
    assert job.states() == ["done"] * 6 + [job.states()[7]] * 2
    assert job.states()[7] in ("failed", "cancelled")
    assert job.rerun(failed=True, options=["--hold"]).info()["tasks"]["done"] == 6


def test_failures_take_no_other_task_down(slurm: SlurmSession) -> None:
    cell = """
import os, signal
if n == 1: raise LookupError("nothing there")
if n == 2: os.kill(os.getpid(), signal.SIGKILL)
if n == 4: os.kill(os.getppid(), signal.SIGKILL); signal.pause()
n
"""
    job = sweep(slurm, "mixed", cell, range(8), chunk=3)
    with pytest.raises(TasksFailed) as caught:
        job.fetch(120)
    reasons = {task: reason for task, _, reason in caught.value.failures}
    assert list(reasons) == [1, 2, 4, 5]
    assert reasons[1] == "LookupError: nothing there"
    assert reasons[2].startswith("killed by signal 9 (SIGKILL)")
    assert re.match(r"not finished: .*killed by signal 9", reasons[4])
    assert reasons[5].startswith("never begun: ")
    told = r"2 of 8 tasks failed; task 1 \(n=1\): LookupError: nothing there; 2 of 8 tasks were not finished: .*signal 9"
    assert re.match(told, job.status().reason)
    assert [got for got in job.fetch(errors="return") if isinstance(got, int)] == [0, 3, 6, 7]


def test_a_supervisor_that_is_killed_is_told_by_slurm(slurm: SlurmSession) -> None:
    job = sweep(slurm, "killed", FOREVER, [0, 1, 0], chunk=2)
    reaches(job, "done", "running", "done")
    with ledger(job.directory, job.spec()) as known:
        started = known.chunks[0].started
    assert started is not None
    os.kill(started.supervisor.pid, signal.SIGKILL)
    status = job.wait(120)
    assert status.state is JobState.FAILED
    assert status.reason.startswith("1 of 3 tasks were not finished: ")
    assert job.states() == ["done", "failed", "done"]
    assert (job[0].fetch(), job[2].fetch()) == (0, 0)


def test_a_cancel_reaches_what_runs_and_what_waits(slurm: SlurmSession, cluster: Cluster) -> None:
    job = sweep(slurm, "cancelled", FOREVER, [0, 1, 1, 1, 1, 1], chunk=1, limit=2)
    wait_until(lambda: job.states()[0] == "done" and job.states().count("running") == 2, "two that run")
    job.cancel()
    status = job.wait(90)
    assert status.state is JobState.CANCELLED
    assert re.fullmatch(r"cancelled .*; 1 of 6 tasks done", status.reason)
    assert job.states() == ["done"] + ["cancelled"] * 5
    wait_until(lambda: not names(cluster, "cancelled"), "an empty queue")
    # in a later session, which Slurm need not tell anything
    again = load("cancelled", slurm.root)
    assert isinstance(again, Sweep)
    assert again.states() == job.states()


def test_single_tasks_are_cancelled(slurm: SlurmSession) -> None:
    job = sweep(slurm, "single", FOREVER, [1, 1, 0, 0], chunk=2)
    wait_until(lambda: job.states()[0] == "running" and job.states()[2:] == ["done", "done"], "the first task")
    job.cancel_tasks("0-1")
    assert job.wait(90).state is JobState.CANCELLED
    assert job.states() == ["cancelled", "cancelled", "done", "done"]


def test_a_task_that_waits_in_the_queue_is_taken_out(
    slurm: SlurmSession, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_backend, "FILES_SECONDS", 4.0)
    job = sweep(slurm, "waiting", FOREVER, [1, 1, 1], chunk=1, limit=1)
    wait_until(lambda: job.states()[0] == "running", "the first task")
    job[2].cancel()
    wait_until(lambda: f"{job.info()['id']}_2" not in names(cluster, "waiting"), "the queue without it")
    wait_until(lambda: job.states() == ["running", "queued", "cancelled"], "its end")
    job.cancel()
    assert job.wait(90).state is JobState.CANCELLED


def test_an_element_that_somebody_removes_is_told(
    slurm: SlurmSession, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_backend, "FILES_SECONDS", 4.0)
    job = sweep(slurm, "removed", "n", range(3), "--hold")
    id = job.info()["id"]
    cluster.run("scancel", f"{id}_1")
    cluster.run("scontrol", "release", id)
    status = job.wait(90)
    assert (status.state, job.states()) == (JobState.CANCELLED, ["done", "cancelled", "done"]), status
    assert job[1].status().reason == "never begun: removed from the queue before it began (scancel)"


def test_the_failed_are_run_again(slurm: SlurmSession, marker: Path) -> None:
    cell = f"import os\nassert n % 2 or os.path.exists({str(marker)!r})\n(n, os.environ['PERSIST_RUN'])"
    job = sweep(slurm, "again", cell, range(6), chunk=2)
    with pytest.raises(TasksFailed):
        job.fetch(90)
    marker.touch()
    assert job.rerun(["-t", "5"], failed=True).fetch(90) == [(n, "1" if n % 2 else "2") for n in range(6)]
    submitted = job.directory.run(2).submitted()
    assert submitted is not None
    assert (submitted.tasks, submitted.chunk, submitted.options) == ("0,2,4", 2, ("-t", "5"))


def test_a_requeued_chunk_repeats_only_what_it_had_not_finished(slurm: SlurmSession, cluster: Cluster, marker: Path) -> None:
    cell = f"open({str(marker)!r} + f'-{{n}}', 'a').write('x')\n{WAIT_FOR.format(path=str(marker))}n"
    job = sweep(slurm, "requeued", cell, range(4), chunk=4)
    wait_until(lambda: Path(f"{marker}-2").exists() and Path(f"{marker}-2").read_text(), "the third task")
    element = f"{job.info()['id']}_0"
    cluster.run("scontrol", "requeue", element)
    queued = wait_until(lambda: (s := job.status()).state is JobState.QUEUED and s, "the chunk in the queue again")
    assert queued.reason.startswith("to run again")
    assert job.states() == ["done", "done", "queued", "queued"]
    wait_until(lambda: "PENDING" in cluster.run("squeue", "-h", "-j", element, "-o", "%T"), "its place in the queue")
    cluster.run("scontrol", "update", f"jobid={element}", SOON)
    marker.touch()
    assert job.fetch(150) == [0, 1, 2, 3]
    assert [Path(f"{marker}-{n}").read_text() for n in range(4)] == ["x", "x", "xx", "x"]


def test_a_job_runs_after_a_sweep(slurm: SlurmSession) -> None:
    sweep(slurm, "first", "n", range(3))
    last = slurm.persist(
        "last", f"import persist_magic\nsum(persist_magic.load('first', {slurm.root!r}).fetch(60))", after=["first"]
    )
    assert last.fetch(120) == 3


def test_ten_thousand_tasks_are_few_jobs_and_few_files(slurm: SlurmSession, cluster: Cluster) -> None:
    job = sweep(slurm, "thousands", "print(n)\nn * n", range(10_000))
    listed = ["squeue", "-h", "-r", "-t", "all", "-n", "thousands", "-o", "%i"]
    assert len(wait_until(lambda: cluster.run(*listed).split(), "its array")) == 48
    assert job.fetch(300) == [n * n for n in range(10_000)]
    assert len([path for path in job.path.rglob("*") if path.is_file()]) < 300
    assert job[9_999].stdout() == "9999\n"
