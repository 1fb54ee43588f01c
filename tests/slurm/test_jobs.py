"""Jobs on a real Slurm: what comes back, how they end, and what is said of them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from persist_magic import backends
from persist_magic.backends import slurm_programs
from persist_magic.errors import BackendError, JobCancelled, JobFailed, JobLives, PredecessorFailed, Unconfirmed
from persist_magic.job import Job, statuses
from persist_magic.status import JobState, Status
from persist_magic.store import write_atomic
from persist_magic.submission import jobs, load, persist

from ..cluster.cluster import Cluster
from ..conftest import alive, environment, started, wait_until
from .conftest import SlurmSession, printed, shim

WAIT_FOR = "import os, time\nwhile not os.path.exists({path!r}): time.sleep(0.01)\n"
# A requeued job waits for two minutes until its old credential is void (slurm.conf(5), AuthInfo cred_expire). It may start
# sooner, but not in the second in which its node revoked that: then the node takes the new one for the old, and the job fails.
SOON = "starttime=now+2"
FOREVER = "import time\nprint('begun')\nwhile True: time.sleep(0.05)\n"


def state(job: Job) -> JobState:
    return job.status().state


def native(job: Job) -> dict[str, str]:
    return job.info()["native"]


# ---------------------------------------------------------------- done


def test_a_cell_runs_under_slurm_and_comes_back(slurm: SlurmSession, cluster: Cluster) -> None:
    slurm.run("import math\nscale = 3\ndef area(r): return scale * math.pi * r * r")
    job = slurm.persist(
        "calcpi", "import os\nprint('hello')\nid = os.environ['SLURM_JOB_ID']\nround(area(2), 6)", "-t", "10"
    )
    assert job.fetch(60) == 37.699112
    assert job.stdout() == "hello\n"
    assert job.status().state is JobState.DONE
    assert job.variables["id"] == job.info()["id"]
    wait_until(
        lambda: "COMPLETED" in cluster.run("sacct", "-n", "-X", "-o", "state", "-j", job.variables["id"]), "accounting"
    )


def test_what_a_slurm_job_puts_out_is_seen_here_while_it_runs(slurm: SlurmSession, marker: Path) -> None:
    cell = f"""
from tqdm import tqdm
for n in tqdm(range(4), desc="bar", mininterval=0):
    if n == 2:
        display("half way")
        {WAIT_FOR.format(path=str(marker)).replace(chr(10), chr(10) + " " * 8)}
import matplotlib.pyplot as plt
_ = plt.plot([1, 2])
"""
    job = slurm.persist("shown", cell)
    wait_until(lambda: "bar 50 %, 2/4" in repr(job), "the progress")
    wait_until(lambda: any("data" in each for each in job.outputs()), "the display")
    marker.touch()
    assert job.wait(60).state is JobState.DONE
    bar, *rest = (each for each in job.outputs())
    assert bar["text"].startswith("bar:  50%")
    assert [set(each.get("data", ())) for each in rest] == [{"text/plain"}, set(), {"text/plain", "image/png"}]


def test_options_of_sbatch_stand_above_the_cells_own_and_these_above_the_configured(slurm: SlurmSession) -> None:
    backend = backends.get_backend("slurm")
    backend.options = "-t 10 -J 'of config' --nice=1"  # type: ignore[attr-defined]
    cell = "#SBATCH -t 20 --nice=2\n# words\n#SBATCH --qos=normal\n1\n#SBATCH -t 99"
    job = slurm.persist("options", cell, "--hold", "--comment=mine and yours", "-t", "30")
    told = native(job)
    assert (told["TimeLimit"], told["Nice"], told["QOS"]) == ("00:30:00", "2", "normal")
    assert told["Comment"].startswith("mine and yours persist_magic:")
    assert "#SBATCH --qos=normal" in (job.path / "job.sh").read_text()


def test_setup_lines_run_before_the_worker_and_the_interpreter_is_chosen(slurm: SlurmSession, tmp_path: Path) -> None:
    backend = backends.get_backend("slurm")
    backend.setup = ["export GREETING='from the module'"]  # type: ignore[attr-defined]
    python = tmp_path / "my python"
    python.symlink_to(sys.executable)
    cell = "import os, sys\n(os.environ['GREETING'], sys.executable)"
    assert slurm.persist("setup", cell, python=str(python)).fetch(60) == ("from the module", str(python))
    assert (slurm.job("setup").path / "job.sh").read_text().startswith("#!/bin/bash -l\n")


def test_job_sh_runs_by_hand_and_its_run_is_found(slurm: SlurmSession) -> None:
    job = slurm.persist("hand", "import os\nos.environ.get('PERSIST_SCHEDULER_ID')")
    assert job.fetch(60) == job.info()["id"]
    subprocess.run(["/bin/sh", str(job.path / "job.sh")], env=environment(), check=True, capture_output=True)
    assert job.info()["runs"] == [1, 2]
    assert job.fetch(1) is None


def test_a_function_from_python(cluster: Cluster, root: str) -> None:
    assert persist(divmod, "function", "slurm", args=(17, 5), options=["-t", "5"]).fetch(60) == (3, 2)


def test_another_session_finds_the_job(slurm: SlurmSession) -> None:
    slurm.persist("other", "'there'")
    script = "import persist_magic as p; print(p.load('other').fetch(60))"
    other = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True)
    assert other.stdout == "there\n"


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-p", "nosuch"], "job bad was not taken: sbatch: .*[Ii]nvalid partition"),
        (["script.sh"], "'script.sh' is no option of sbatch"),
        (["-p", "debug", "script.sh"], "'script.sh' is no option of sbatch"),
        (["--hold", "script.sh"], "'script.sh' is no option of sbatch"),
        (["-t5", "script.sh"], "'script.sh' is no option of sbatch"),
        (["--wrap=rm -rf /"], "--wrap cannot be used here: the script is job.sh"),
        (["--wra", "x"], "--wra cannot be used here: write options of sbatch in full"),
        (["-W"], "-W cannot be used here: %persist_wait waits"),
        (["--array=1-3"], "--array cannot be used here: --each, before the --, makes a sweep"),
        (["-t", "5\n#SBATCH -p x"], "has a line break in it"),
    ],
)
def test_what_sbatch_would_misunderstand_or_refuses_leaves_nothing(slurm: SlurmSession, words: list[str], why: str) -> None:
    with pytest.raises(BackendError, match=why):
        slurm.persist("bad", "1", *words)
    assert jobs(slurm.root) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("#SBATCH --array=0-9", "--array cannot be used here: --each, before the --, makes a sweep"),
        ("#SBATCH --comment=mine", "write it after --"),
        ("#SBATCH -t '5", "No closing quotation in the options"),
    ],
)
def test_directives_of_a_cell_are_looked_at_too(slurm: SlurmSession, line: str, why: str) -> None:
    with pytest.raises(BackendError, match=why):
        slurm.persist("bad", f"{line}\n1")
    assert jobs(slurm.root) == []


def test_an_sbatch_that_heard_nothing_from_slurm_is_no_refusal(
    slurm: SlurmSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
    shim(tmp_path / "bin", monkeypatch, "sbatch", f"$REAL \"$@\" >/dev/null\necho '{words}' >&2\nexit 1")
    assert slurm.persist("unheard", "'taken'").fetch(60) == "taken"


def test_a_cluster_that_is_not_the_jobs_proves_nothing(slurm: SlurmSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files seen from another cluster, whose squeue does not list the job."""
    job = slurm.persist("elsewhere", "1", "--hold")
    submitted = job.directory.run(1).submitted()
    assert submitted is not None
    moved = dataclasses.replace(submitted, settings={**submitted.settings, "cluster": "other"}, time=submitted.time - 3600)
    write_atomic(job.directory.run(1).submitted_path, moved.to_bytes())
    handle = job.directory.handle()
    assert handle is not None
    write_atomic(job.directory.handle_path, dataclasses.replace(handle, id="99999", time=handle.time - 3600).to_bytes())
    status = wait_until(lambda: (s := job.status()).note and s, "Slurm's word")
    assert (status.state, status.note) == (JobState.QUEUED, "it belongs to cluster other, which cannot be asked from here")
    write_atomic(job.directory.handle_path, handle.to_bytes())
    job.cancel()
    assert job.wait(60).state is JobState.CANCELLED


def test_a_replacement_that_is_refused_leaves_the_older_job(slurm: SlurmSession) -> None:
    older = slurm.persist("kept", "'older'")
    assert older.fetch(60) == "older"
    with pytest.raises(BackendError, match="job kept was not taken"):
        slurm.persist("kept", "'newer'", "-p", "nosuch", replace=True)
    assert slurm.job("kept").fetch(1) == "older"
    with pytest.raises(BackendError, match="job kept was not taken"):
        older.rerun(["-p", "nosuch"])
    assert (older.fetch(1), older.info()["runs"]) == ("older", [1])
    assert sorted(path.name for path in older.path.parent.iterdir() if not path.name.startswith(".lock")) == [
        ".gitignore",
        "kept",
    ]


def test_without_slurm_the_error_says_what_is_missing(slurm: SlurmSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BackendError, match="backend slurm: there is no sbatch here; on a cluster's login node there is"):
        slurm.persist("none", "1")
    assert jobs(slurm.root) == []


# ---------------------------------------------------------------- waiting


def test_what_a_queued_job_waits_for_is_told_in_words(slurm: SlurmSession, cluster: Cluster) -> None:
    held = slurm.persist("held", "1", "--hold")
    later = slurm.persist("later", "2", "--begin=now+1hour")
    blocker = slurm.persist("blocker", FOREVER, "-w", "n1", "--exclusive")
    started(blocker)
    blocked = slurm.persist("blocked", "3", "-w", "n1")

    def told(job: Job, words: str) -> None:
        wait_until(lambda: words in job.status().describe(time.time()), f"{words!r} of {job.name}: {job}")

    told(held, f"queued: held by its user; scontrol release {held.info()['id']}")
    told(later, "queued: its time to begin has not come")
    wait_until(lambda: blocked.status().reason in ("waiting for resources", "other jobs go first (priority)"), "the reason")
    assert native(blocked)["JobState"] == "PENDING"
    cluster.run("scontrol", "release", held.info()["id"])
    assert held.fetch(60) == 1


def test_a_queued_job_is_cancelled_and_cleaned(slurm: SlurmSession) -> None:
    job = slurm.persist("queued", "1", "--hold")
    with pytest.raises(JobLives, match="cannot delete job queued while it lives"):
        job.cleanup()
    job.cancel()
    assert job.wait(60).state is JobState.CANCELLED
    with pytest.raises(JobCancelled, match="job queued has no result: cancelled before it started"):
        job.fetch()
    job.cleanup()
    assert jobs(slurm.root) == []


# ---------------------------------------------------------------- ends


def test_a_failed_cell_raises_with_its_traceback(slurm: SlurmSession) -> None:
    job = slurm.persist("failing", "before = 1\n1 / 0")
    with pytest.raises(JobFailed, match=r"ZeroDivisionError: division by zero[\s\S]*line 3"):
        job.fetch(60)
    assert job.variables["before"] == 1


def test_a_cancelled_cell_runs_its_finally(slurm: SlurmSession) -> None:
    job = slurm.persist(
        "cancelled", "try:\n    import time\n    print('begun')\n    time.sleep(1000)\nfinally:\n    tidy = True"
    )
    printed(job, "begun")
    job.cancel()
    status = job.wait(60)
    assert (status.state, status.reason) == (JobState.CANCELLED, "cancelled by root")
    assert job.variables["tidy"] is True


def test_a_forced_cancel_is_slurms(slurm: SlurmSession) -> None:
    job = slurm.persist("forced", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER)
    printed(job, "begun")
    job.cancel(force=True)
    assert job.wait(60).state is JobState.CANCELLED


def test_scancel_by_somebody_is_a_cancel_whose_source_is_told(slurm: SlurmSession, cluster: Cluster) -> None:
    job = slurm.persist(
        "scancelled", f"try:\n{''.join('    ' + line + chr(10) for line in FOREVER.splitlines())}finally:\n    tidy = True"
    )
    printed(job, "begun")
    cluster.run("scancel", job.info()["id"])
    status = job.wait(60)
    assert status.state is JobState.CANCELLED
    assert status.reason.startswith("cancelled with scancel")
    assert job.variables["tidy"] is True


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ("cell", "killed by signal 9 (SIGKILL), perhaps out of memory"),
        ("supervisor", "its worker ended without a record of its end"),
        ("both", "its worker ended without a record of its end"),
    ],
)
def test_kill_9_is_a_failure_with_its_reason(slurm: SlurmSession, who: str, reason: str) -> None:
    job = slurm.persist("killed", FOREVER)
    record = started(job)
    printed(job, "begun")
    assert record.child is not None
    pids = {"cell": [record.child.pid], "supervisor": [record.supervisor.pid]}.get(
        who, [record.supervisor.pid, record.child.pid]
    )
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # one may take the other with it
            os.kill(pid, signal.SIGKILL)
    status = job.wait(90)
    assert status.state is JobState.FAILED
    assert reason in status.reason
    wait_until(lambda: not alive(record.child.pid), "the end of the cell's process")


def test_what_slurm_said_before_a_run_began_says_nothing_of_its_end(
    slurm: SlurmSession, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last answer of squeue, PENDING, is older than the run; it must not make the dead run one that waits."""
    monkeypatch.setattr(slurm_programs, "POLITE_SECONDS", 1000.0)
    job = slurm.persist("outdated", FOREVER, "--hold")
    wait_until(lambda: job.status().reason.startswith("held by its user"), "Slurm's word")
    cluster.run("scontrol", "release", job.info()["id"])
    printed(job, "begun")
    os.kill(started(job).supervisor.pid, signal.SIGKILL)
    said = set()
    while not (status := job.status()).state.ended:
        said.add(status.state)
    assert status.state is JobState.FAILED
    assert said == {JobState.RUNNING}


def test_an_interpreter_that_is_not_there_is_told(slurm: SlurmSession) -> None:
    job = slurm.persist("nowhere", "1", python="/nowhere/python")
    status = job.wait(120)
    assert status.state is JobState.FAILED
    assert re.search(r"ended before the cell could start: .*/nowhere/python.*not found", status.reason)


def test_time_limits(slurm: SlurmSession, cluster: Cluster) -> None:
    """Three cells in their last minute: one is ended, one is told and keeps what it has, one is told by --signal."""
    endless = slurm.persist("endless", f"import persist_magic\nprint(persist_magic.time_left())\n{FOREVER}", "-t", "1")
    careful = """
import persist_magic, time
start = persist_magic.restored().get("step", 0)
step = start
try:
    with persist_magic.until_wall_time(margin=40):
        while step < 3 or start == 0:
            step += 1
            time.sleep(0.05)
except persist_magic.WallTimeSoon as soon:
    left = persist_magic.time_left()
    persist_magic.checkpoint(step=step, data=list(range(1000)))
    raise
(start, step)
"""
    told = slurm.persist("careful", careful, "-t", "1")
    signalled = "import persist_magic, time\ntry:\n    with persist_magic.until_wall_time(0):\n        time.sleep(100)\nexcept persist_magic.WallTimeSoon as e:\n    word = str(e)\nword"
    warned = slurm.persist("warned", signalled, "-t", "2", "--signal=B:USR1@60")
    assert 0 < float(printed(endless, "begun").splitlines()[0]) <= 60
    with pytest.raises(JobFailed, match=r"WallTimeSoon: 0:00:(2|3|4)\d of wall time left"):
        told.fetch(120)
    assert 20 < told.variables["left"] <= 40
    assert told.checkpoint()["data"][-1] == 999
    steps = told.checkpoint()["step"]
    assert told.rerun().fetch(60) == (steps, max(steps, 3))
    assert warned.fetch(120).endswith("of wall time left")
    status = endless.wait(150)
    assert (status.state, status.reason) == (
        JobState.FAILED,
        "ran out of time after 0:01:00; %persist_rerun endless -- -t 0:02:00",
    )
    endless.rerun(["-t", "0:02:00"])
    assert native(endless)["TimeLimit"] == "00:02:00"


# ---------------------------------------------------------------- again


def test_preempted_then_queued_then_resumed_from_its_checkpoint(slurm: SlurmSession, cluster: Cluster, marker: Path) -> None:
    cell = f"""
import os, time
import persist_magic
first = persist_magic.restored().get("first", os.environ["SLURM_JOB_ID"])
persist_magic.checkpoint(first=first, run=os.environ.get("SLURM_RESTART_COUNT", "0"))
print("begun")
while not os.path.exists({str(marker)!r}): time.sleep(0.05)
(first, persist_magic.restored()["run"])
"""
    job = slurm.persist("modest", cell, "-w", "n2", "--exclusive")
    printed(job, "begun")
    urgent = slurm.persist("urgent", "'first'", "-w", "n2", "--exclusive", "-p", "urgent")
    queued = wait_until(lambda: (s := job.status()).state is JobState.QUEUED and s, "the preempted job in the queue")
    assert queued.reason.startswith("to run again")
    assert urgent.fetch(90) == "first"
    id = job.info()["id"]
    cluster.run("scontrol", "update", f"jobid={id}", SOON)
    wait_until(lambda: job.status().run == 2 and state(job) is JobState.RUNNING, "the second run", 150)
    marker.touch()
    assert job.fetch(60) == (id, "1")
    assert job.info()["runs"] == [1, 2]


def test_a_node_that_fails_is_told_and_the_job_runs_again(slurm: SlurmSession, cluster: Cluster, marker: Path) -> None:
    job = slurm.persist(
        "moving",
        f"print('begun')\n{WAIT_FOR.format(path=str(marker))}import os\nos.environ['SLURMD_NODENAME']",
        "-w",
        "n3",
        "--exclusive",
    )
    printed(job, "begun")
    record = started(job)
    try:
        cluster.stop_daemon("n3", signal.SIGKILL)
        for pid in cluster.processes_of(job.info()["id"]):  # the machine is gone
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert record.child is not None
        wait_until(lambda: not alive(record.child.pid), "the end of the cell")
        cluster.set_node("n3", "down")
        again = wait_until(lambda: (s := job.status()).state is JobState.QUEUED and s, "the job in the queue again", 90)
        assert again.reason.startswith("to run again")
    finally:
        cluster.start_daemon("n3")
        cluster.set_node("n3", "resume")
    cluster.run("scontrol", "update", f"jobid={job.info()['id']}", SOON, check=False)
    wait_until(lambda: job.status().run == 2 and state(job) is JobState.RUNNING, "the second run", 150)
    marker.touch()
    assert job.fetch(60) in ("n1", "n2", "n3")


def test_a_node_that_fails_under_a_job_that_is_not_to_be_requeued(slurm: SlurmSession, cluster: Cluster) -> None:
    job = slurm.persist("lost", FOREVER, "-w", "n3", "--exclusive", "--no-requeue")
    printed(job, "begun")
    try:
        cluster.stop_daemon("n3", signal.SIGKILL)
        for pid in cluster.processes_of(job.info()["id"]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        cluster.set_node("n3", "down")
        status = job.wait(120)
    finally:
        cluster.start_daemon("n3")
        cluster.set_node("n3", "resume")
    assert (status.state, status.reason) == (JobState.FAILED, "its node failed (n3); %persist_rerun lost runs it again")


def test_a_requeue_by_hand_makes_the_next_run(slurm: SlurmSession, cluster: Cluster, marker: Path) -> None:
    job = slurm.persist("requeued", f"print('begun')\n{WAIT_FOR.format(path=str(marker))}print('ran on')\n'ran'")
    printed(job, "begun\n")
    followed = job.follow()
    assert next(followed) == "begun\n"
    id = job.info()["id"]
    cluster.run("scontrol", "requeue", id)
    queued = wait_until(lambda: (s := job.status()).state is JobState.QUEUED and s, "the job in the queue again")
    assert queued.reason.startswith("to run again")
    wait_until(lambda: "PENDING" in cluster.run("squeue", "-h", "-j", id, "-o", "%T"), "its place in the queue")
    cluster.run("scontrol", "update", f"jobid={id}", SOON)
    marker.touch()
    wait_until(lambda: job.status().run == 2, "the second run", 150)
    assert "".join(followed) == "begun\nran on\n"
    assert job.fetch(60) == "ran"


def test_a_cancel_while_it_waits_for_its_second_run(slurm: SlurmSession, cluster: Cluster) -> None:
    job = slurm.persist("twice", FOREVER)
    printed(job, "begun")
    cluster.run("scontrol", "requeuehold", job.info()["id"])
    held = wait_until(lambda: (s := job.status()).state is JobState.QUEUED and s, "the job on hold")
    assert "scontrol release" in held.reason
    job.cancel()
    assert job.wait(60).state is JobState.CANCELLED


def test_a_suspended_job_lives(slurm: SlurmSession, cluster: Cluster, marker: Path) -> None:
    job = slurm.persist("suspended", f"print('begun')\n{WAIT_FOR.format(path=str(marker))}'went on'")
    printed(job, "begun")
    record = started(job)  # a supervisor that is suspended writes nothing
    cluster.run("scontrol", "suspend", job.info()["id"])
    os.utime(job.directory.current_run().heartbeat_path, (time.time() - 60,) * 2)
    status = job.status()
    while status.note != "suspended by Slurm" and time.time() - record.time < 90:
        status = job.status()
    assert (status.state, status.note) == (JobState.RUNNING, "suspended by Slurm")
    cluster.run("scontrol", "resume", job.info()["id"])
    marker.touch()
    assert job.fetch(60) == "went on"


# ---------------------------------------------------------------- submission in bad hours


def test_an_sbatch_that_submits_and_then_hangs_is_found_in_the_queue(
    slurm: SlurmSession, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim(tmp_path / "bin", monkeypatch, "sbatch", '$REAL "$@" >/dev/null\nexec sleep 1000')
    backends.get_backend("slurm").timeout = 10.0  # type: ignore[attr-defined]
    job = slurm.persist("hanging", "'once'")
    assert job.fetch(60) == "once"
    assert cluster.run("squeue", "-h", "-t", "all", "-n", "hanging", "-o", "%i").split() == [job.info()["id"]]


def test_a_submission_of_which_nothing_is_known_stays_and_is_found_later(
    slurm: SlurmSession, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sbatch hangs before it submits anything, and squeue does not answer; later somebody's retry goes through."""
    with monkeypatch.context() as broken:
        late = f"printf '%s\\n' \"$@\" >{tmp_path}/words\nexec sleep 1000"
        shim(tmp_path / "bin", broken, "sbatch", late)
        shim(tmp_path / "bin", broken, "squeue", "echo 'squeue: error: Unable to contact slurm controller' >&2\nexit 1")
        backends.get_backend("slurm").timeout = 1.0  # type: ignore[attr-defined]
        with pytest.raises(Unconfirmed, match="may have taken job late or not: sbatch did not answer within 1 s"):
            slurm.persist("late", "'at last'")
        job = slurm.job("late")
        assert state(job) is JobState.QUEUED
        with pytest.raises(JobLives):
            job.rerun()
    words = (tmp_path / "words").read_text().splitlines()
    cluster.run("sbatch", *words, str(job.path / "job.sh"))
    assert job.fetch(60) == "at last"


def test_a_session_inside_a_slurm_job_submits_cleanly(slurm: SlurmSession, cluster: Cluster, tmp_path: Path) -> None:
    inner = f"""
import os, sys
import persist_magic
def report():
    return {{name: value for name, value in os.environ.items() if name.startswith("SLURM")}}
job = persist_magic.persist(report, "inner", "slurm", options=["--mem-per-cpu=100", "-n", "1"], root={slurm.root!r})
print(os.environ["SLURM_JOB_ID"], flush=True)
"""
    (tmp_path / "outer.py").write_text(inner)
    log = tmp_path / "outer.log"
    wrapped = f"{sys.executable} {tmp_path}/outer.py"
    cluster.run("sbatch", "--wait", "-n", "2", "--mem=200", f"--output={log}", "--wrap", wrapped)
    outer = log.read_text().strip()
    seen = load("inner", slurm.root).fetch(60)
    assert seen["SLURM_JOB_ID"] == load("inner", slurm.root).info()["id"] != outer
    assert "SLURM_MEM_PER_NODE" not in seen
    assert (seen["SLURM_MEM_PER_CPU"], seen["SLURM_NTASKS"]) == ("100", "1")
    assert seen["SLURM_CONF"] == cluster.environment["SLURM_CONF"]


def test_a_job_directory_that_is_slow_to_appear(slurm: SlurmSession, cluster: Cluster) -> None:
    job = slurm.persist("slow", "'seen'", "--hold")
    id = job.info()["id"]
    hidden = job.path.with_name("elsewhere")
    job.path.rename(hidden)
    cluster.run("scontrol", "release", id)
    wait_until(lambda: cluster.run("squeue", "-h", "-j", id, "-o", "%T").strip() == "RUNNING", "Slurm's start")
    hidden.rename(job.path)
    assert job.fetch(60) == "seen"


def test_a_cluster_named_at_submission_is_asked(slurm: SlurmSession, cluster: Cluster) -> None:
    job = slurm.persist("remote", "'from test'", "--clusters=test", "--hold")
    handle = job.directory.handle()
    assert handle is not None
    assert handle.cluster == "test"
    wait_until(lambda: job.status().reason.startswith("held by its user"), "the reason")
    cluster.run("scontrol", "release", handle.id)
    assert job.fetch(60) == "from test"
    other = slurm.persist("remote2", "1", "-M", "test", "--hold")
    other.cancel()
    assert other.wait(60).state is JobState.CANCELLED


def test_three_hundred_jobs_are_watched_by_one_squeue_an_interval(
    slurm: SlurmSession, cluster: Cluster, calls: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [slurm.persist(f"job{number}", "1", "--hold") for number in range(300)]
    with monkeypatch.context() as polite:
        polite.setattr(slurm_programs, "POLITE_SECONDS", 5.5)
        backends.get_backend("slurm")._watches.clear()  # type: ignore[attr-defined]
        before = len(calls())
        begin = time.monotonic()
        rounds = 0
        while time.monotonic() - begin < 12:
            found = statuses(made)
            rounds += 1
        asked = calls()[before:]
    assert rounds > 3
    assert all(isinstance(each, Status) and each.reason.startswith("held by its user") for each in found)
    assert asked in (["squeue"] * 2, ["squeue"] * 3)
    cluster.run("scancel", "--me")
    backends.get_backend("slurm")._watches.clear()  # type: ignore[attr-defined]
    wait_until(
        lambda: {each.state for each in statuses(made) if isinstance(each, Status)} == {JobState.CANCELLED}, "the ends"
    )


# ---------------------------------------------------------------- one after the other


def test_a_job_starts_when_another_is_done(slurm: SlurmSession, marker: Path) -> None:
    first = slurm.persist("first", WAIT_FOR.format(path=str(marker)) + "'one'")
    second = slurm.persist("second", "'two'", after=["first"])
    local = super(SlurmSession, slurm).persist("here", "'three'", after=["second"])
    wait_until(lambda: second.status().reason == "waiting for a job that it depends on", "the reason")
    wait_until(lambda: local.status().reason == "waiting for second", "the reason")
    marker.touch()
    assert (second.fetch(60), local.fetch(60)) == ("two", "three")
    assert first.info()["ended"] <= second.info()["started"] <= local.info()["started"]


def test_a_job_whose_predecessor_fails_is_cancelled(slurm: SlurmSession, marker: Path) -> None:
    slurm.persist("bad", WAIT_FOR.format(path=str(marker)) + "1 / 0")
    after = slurm.persist("after", "1", after=["bad"])
    local = super(SlurmSession, slurm).persist("here", "1", after=["bad"])
    marker.touch()
    assert after.wait(90).state is JobState.CANCELLED
    assert local.wait(90).reason == "not started: of bad, after which it was to run, not all are done"
    with pytest.raises(PredecessorFailed, match="it was to start after bad, which is failed: ZeroDivisionError"):
        slurm.persist("late", "1", after=["bad"])


def test_slurm_cannot_wait_for_a_job_of_this_machine(slurm: SlurmSession, marker: Path) -> None:
    local = super(SlurmSession, slurm).persist("here", WAIT_FOR.format(path=str(marker)) + "1")
    with pytest.raises(BackendError, match=r"a Slurm job cannot wait for here, .* \(local\); %persist_wait here first"):
        slurm.persist("there", "1", after=["here"])
    marker.touch()
    local.wait(60)
    assert slurm.persist("there", "2", after=["here"]).fetch(60) == 2
