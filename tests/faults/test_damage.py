"""Every file of a job directory is damaged in every way; each call returns or raises one of our errors, soon.

What is fetched is right or an error, the other jobs are what they were, and every view goes on for them.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import random
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from persist_magic import monitor, status, submission
from persist_magic.__main__ import main
from persist_magic.errors import JobTimeout, PersistError, StoreError
from persist_magic.job import Job
from persist_magic.slots import Slots
from persist_magic.status import JobState
from persist_magic.store import Root
from persist_magic.sweep import Sweep
from persist_magic.views import details, table, terminal, wire
from tests.conftest import Session, wait_until
from tests.formats.__main__ import CELLS, run

SOON = 10.0
MOST_MEMORY = 1 << 30
SPARSE = 10 << 30

JOBS = [*CELLS, "cancelled"]


class NotSoon(BaseException):
    """A call took too long."""


@contextlib.contextmanager
def soon() -> Iterator[None]:
    """Interrupt what takes too long."""

    def too_long(*_: object) -> None:
        raise NotSoon

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, SOON)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---------------------------------------------------------------- harms


def truncations(path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    size = path.stat().st_size
    lengths = {0, 1, 2, size - 2, size - 1, *(size * part // 10 for part in range(2, 10, 2))}
    for length in sorted(length for length in lengths if 0 <= length < size):
        yield f"cut to {length} of {size}", lambda length=length: os.truncate(path, length)


def _flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def flips(path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    bits = path.stat().st_size * 8
    dice = random.Random(path.name)
    for bit in sorted(dice.sample(range(bits), min(bits, 8))):
        yield f"bit {bit} flipped", lambda bit=bit: _flip(path, bit)


def _replaced(path: Path, make: Callable[[Path], Any]) -> None:
    path.unlink()
    make(path)


def replacements(path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    elsewhere = path.with_name(f"elsewhere-{path.name}")
    yield "removed", path.unlink
    yield "a directory", lambda: _replaced(path, Path.mkdir)
    yield "a fifo", lambda: _replaced(path, os.mkfifo)
    yield "a link to its own", lambda: (path.rename(elsewhere), path.symlink_to(elsewhere))
    yield "a link to nothing", lambda: _replaced(path, lambda at: at.symlink_to("/nowhere"))
    yield "a link to itself", lambda: _replaced(path, lambda at: at.symlink_to(at))
    yield "a device", lambda: _replaced(path, lambda at: at.symlink_to("/dev/zero"))
    if path.name not in ("stdout", "stderr"):  # of which that much may be read, if somebody asks for all of it
        yield "a huge sparse file", lambda: os.truncate(path, SPARSE)
    yield "another's record", lambda: path.write_bytes(b'{"format": 1, "time": 1e999, "name": "good", "run": -1}')
    yield "noise", lambda: path.write_bytes(random.Random(path.name).randbytes(3000))
    yield "deep nesting", lambda: path.write_bytes(b"[" * 100_000)


def harms(path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    yield from itertools.chain(truncations(path), flips(path), replacements(path))


# ---------------------------------------------------------------- the corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Job directories of every kind, as real runs have left them."""
    folder = tmp_path_factory.mktemp("corpus")
    before = sys.modules["__main__"]
    root = folder / ".persist"
    try:
        run(str(root))
        job = submission.persist(_wait_for_ever, "cancelled", root=root)
        wait_until(lambda: job.status().state is JobState.RUNNING, "its start")
        job.cancel(force=True)
        job.wait(60)
        submission.persist(sum, "good", args=([20, 22],), root=root).wait(60)
    finally:
        sys.modules["__main__"] = before
    # elsewhere: what is copied from it is then no copy of something that is still there
    return root.rename(folder / "corpus")


def _wait_for_ever() -> None:
    import time

    while True:
        time.sleep(1)


@pytest.fixture
def place(corpus: Path, tmp_path: Path) -> Path:
    """A root with the bystander."""
    root = tmp_path / ".persist"
    root.mkdir(mode=0o700)
    shutil.copytree(corpus / "good", root / "good")
    return root


def lay(corpus: Path, place: Path, name: str) -> Path:
    """Lay a whole copy of a job into the root."""
    for path in place.iterdir():
        if path.name not in ("good", ".lock", ".slots"):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else path.unlink()
    return Path(shutil.copytree(corpus / name, place / name))


# ---------------------------------------------------------------- what is asked


def plain(value: Any) -> Any:
    """A value as something that can be compared."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def given(job: Job) -> dict[str, Callable[[], Any]]:
    """What a job gives, which must be right or an error."""
    calls: dict[str, Callable[[], Any]] = {"result": lambda: job.fetch(0), "checkpoint": job.checkpoint}
    if isinstance(job, Sweep):
        return {f"task {task.index}": lambda task=task: task.fetch(0) for task in job}
    with contextlib.suppress(PersistError):
        names = list(job.variables)
        calls |= {f"variable {name}": lambda name=name: job.variables[name] for name in names}
    return calls


def asked(job: Job) -> list[Callable[[], Any]]:
    """All other questions to a job."""
    calls: list[Callable[[], Any]] = [
        job.status,
        job.info,
        job.is_ready,
        lambda: job.wait(0),
        job.spec,
        job.stdout,
        lambda: job.stdout(tail=2),
        job.stderr,
        lambda: "".join(itertools.islice(job.follow(), 5)) if job.is_ready() else "",
        job.outputs,
        job.cell,
        job.launch_log,
        job.outcome,
        job.progress,
        job.checkpoint,
        job.began,
        job.staleness,
        job.variables.describe,
        lambda: repr(job.variables),
        lambda: job.bring({}),
        lambda: repr(job),
        lambda: details.details(job),
        lambda: job.export(Path(job.path.parent.parent, "exported.ipynb"), replace=True),
        lambda: submission.load(job.name, job.path.parent),
    ]
    if isinstance(job, Sweep):
        calls += [job.table, job.states, job.summary, lambda: job.fetch(0, errors="return"), lambda: details.tasks(job)]
        for task in job:
            calls += [task.status, task.stdout, task.stderr, task.outputs, task.checkpoint, lambda task=task: repr(task)]
            calls += [lambda task=task: details.task(job, task.index)]
    return calls


def views(root: Path) -> None:
    """Every view of a root, which must go on for the bystander."""
    shown = monitor.rows(submission.jobs(root))
    rows = {row.name: row for row in shown}
    assert rows["good"].state == "done", rows["good"]
    assert "good" in table.table(shown)
    wire.changes(shown, {})
    poller = monitor.Poller(None)
    poller.poll()
    assert {row.name: row.state for row in poller.table()}["good"] == "done"
    with contextlib.redirect_stdout(io.StringIO()):
        terminal.show(shown)


def commands(root: Path, name: str) -> Iterator[Callable[[], Any]]:
    """What a shell can ask."""
    for words in (
        ["status"],
        ["status", name],
        ["status", "--json"],
        ["info", name],
        ["log", name],
        ["show", name],
        ["tasks", name],
    ):
        yield lambda words=words: main(["--root", str(root), *words])


def ask_all(root: Path, name: str, right: dict[str, Any], with_views: bool) -> tuple[int, list[str]]:
    """Ask everything of a damaged job; return how many calls there were, and what is wrong."""
    calls, problems = 0, []

    def call(what: str, question: Callable[[], Any]) -> Any:
        nonlocal calls
        calls += 1
        try:
            with soon():
                return question()
        except PersistError as error:
            str(error)
        except NotSoon:
            problems.append(f"{what}: it takes over {SOON} s")
        except BaseException as error:  # noqa: BLE001  that is what is looked for
            problems.append(f"{what}: {type(error).__name__}: {error}"[:300])
        return PersistError

    job = call("load", lambda: submission.load(name, root))
    if isinstance(job, Job):
        questions = call("what there is to fetch", lambda: given(job))
        for what, question in questions.items() if isinstance(questions, dict) else ():
            value = call(what, question)
            if what == "checkpoint" and value == {}:  # as if none had been made
                continue
            if value is not PersistError and what in right and plain(value) != right[what]:
                problems.append(f"{what} is {value!r:.200} and not {right[what]!r:.200}")
        for number, question in enumerate(asked(job)):
            call(f"question {number} {getattr(question, '__name__', '')}", question)
    if not with_views:
        return calls, problems
    call("views", lambda: views(root))
    for number, command in enumerate(commands(root, name)):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            call(f"command {number}", command)
    return calls, problems


def right_of(corpus: Path, place: Path, name: str) -> dict[str, Any]:
    """What an undamaged job gives."""
    lay(corpus, place, name)
    found = {}
    for what, question in given(submission.load(name, place)).items():
        with contextlib.suppress(PersistError):
            found[what] = plain(question())
    return found


def files_of(job: Path) -> list[Path]:
    """The files of a job; of an older run only those that a later one looks at."""
    newest = max(path.name for path in job.glob("run-*"))
    files = sorted(path.relative_to(job) for path in job.rglob("*") if path.is_file())
    return [file for file in files if file.parts[0] in (newest, file.name) or file.name in ("submitted.json", "ended.json")]


@pytest.mark.parametrize("name", JOBS)
def test_a_damaged_job_is_told_and_no_other_is_disturbed(
    corpus: Path, place: Path, name: str, counted: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSIST_ROOT", str(place))
    right = right_of(corpus, place, name)
    assert right or name in ("failed", "cancelled")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    problems, cases, calls = [], 0, 0
    for file in files_of(corpus / name):
        what = [words for words, _ in harms(corpus / name / file)]
        for at, words in enumerate(what):
            job = lay(corpus, place, name)
            list(harms(job / file))[at][1]()
            # of what is cut or flipped each third is enough for the slower faces
            asked_calls, wrong = ask_all(place, name, right, with_views=at % 3 == 0 or not words.startswith(("cut", "bit")))
            cases, calls = cases + 1, calls + asked_calls
            problems += [f"{file} {words}: {each}" for each in wrong]
    assert not problems, "\n".join([f"{len(problems)} problems in {cases} cases:", *problems])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < MOST_MEMORY
    counted("damaged files", cases)
    counted("calls on damaged jobs", calls)


@pytest.mark.parametrize("name", ["plain", "many"])
def test_a_damaged_job_is_deleted_whole_or_refused(
    corpus: Path, place: Path, name: str, counted: Callable[[str, int], None]
) -> None:
    cases = 0
    for file in files_of(corpus / name):
        for at, (words, _) in enumerate(replacements(corpus / name / file)):
            job = lay(corpus, place, name)
            list(replacements(job / file))[at][1]()
            try:
                with soon():
                    submission.load(name, place).cleanup()
                assert not job.exists(), f"{file} {words}"
            except PersistError as error:
                assert job.exists(), f"{file} {words}: {error}"
            assert submission.load("good", place).fetch() == 42
            cases += 1
    counted("damaged jobs deleted or not", cases)


@pytest.mark.parametrize("name", ["plain", "many"])
def test_a_damaged_job_runs_again_or_is_refused(
    corpus: Path, place: Path, name: str, counted: Callable[[str, int], None]
) -> None:
    right, cases = right_of(corpus, place, name), 0
    for file in files_of(corpus / name):
        if file.name in ("stdout", "stderr", "cell.py", "heartbeat", "display.jsonl", "launch.log"):
            continue
        for harm in (os.unlink, lambda path: os.truncate(path, 0)):
            job = lay(corpus, place, name)
            harm(job / file)
            cases += 1
            try:
                again = submission.load(name, place).rerun()
                again.wait(60)
            except JobTimeout:
                raise
            except PersistError:
                continue
            for what, question in given(again).items():
                with contextlib.suppress(PersistError):
                    assert what == "checkpoint" or plain(question()) == right[what], f"{file} {what}"
    counted("damaged jobs run again or not", cases)


LIVE = "import os, time\nprint('begun', flush=True)\nwhile not os.path.exists({path!r}): time.sleep(0.01)\n'came'"


@pytest.mark.parametrize("kind", ["running", "waiting", "sweep"])
def test_a_live_job_is_neither_deleted_nor_called_ended(
    session: Session,
    marker: Path,
    tmp_path: Path,
    kind: str,
    counted: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever becomes of one of its files; when that is there again it comes to its end."""
    monkeypatch.setattr(status, "SUBMITTING_SECONDS", 0.0)  # it is not just being submitted
    cell = LIVE.format(path=str(marker))
    if kind == "waiting":
        first = session.persist("first", cell, options=["--slots", "1"])
        wait_until(first.stdout, "the start of the first")
    more: dict[str, Any] = {"each": [(("n",), [1, 2])]} if kind == "sweep" else {}
    job = session.persist("live", cell, options=["--slots", "1"], **more)
    if kind == "waiting":
        submitted = job.directory.run(1).submitted()
        assert submitted is not None
        ticket = submitted.settings["ticket"]
        wait_until(lambda: Slots(Root(session.root)).holder(ticket), "its supervisor's place in the queue")
    else:
        wait_until(lambda: job[0].stdout() if isinstance(job, Sweep) else job.stdout(), "its start")
    kept, cases = tmp_path / "kept", 0
    for file in sorted(path for path in job.path.rglob("*") if path.is_file() and path.suffix != ".tmp"):
        for make in (None, Path.touch, Path.mkdir, os.mkfifo, lambda at: at.write_bytes(b"noise")):
            os.rename(file, kept)  # the worker goes on writing to the very file
            if make is not None:
                make(file)
            try:
                with soon():
                    assert not session.job("live").status().state.ended, file
            except PersistError:
                pass
            with pytest.raises(PersistError), soon():
                session.job("live").cleanup()
            if file.is_dir():
                file.rmdir()
            os.rename(kept, file)
            cases += 1
    marker.touch()
    assert session.job("live").fetch(60) == (["came", "came"] if kind == "sweep" else "came")
    counted("damaged files of live jobs", cases)


def test_a_log_that_is_a_fifo_keeps_no_job_from_being_refused(session: Session) -> None:
    job = session.persist("calc", "1")
    job.wait(60)
    (job.path / "launch.log").unlink()
    os.mkfifo(job.path / "launch.log")
    with pytest.raises(StoreError), soon():
        job.rerun()
    assert job.fetch() == 1
