"""The verbs: status, wait, log, info, show, export, cancel, clean, rerun, tasks, doctor; for the magics and the shell alike.

Owns the words that each verb takes and what it prints. The magics and the command line add only where the words come from.
A verb returns the exit code that the shell gets: 0, or 1 if the job that was asked about failed or was cancelled, or if
there is something to mend.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import NoReturn

from . import monitor, replay
from .capture.environment import in_notebook
from .each import read
from .errors import PersistError, UsageError
from .findings import Finding, Verdict
from .job import Job, ended_jobs
from .logs import log_size, read_log, read_part
from .outputs import STREAM_LIMIT
from .status import JobState
from .submission import jobs, load
from .sweep import Task, as_sweep
from .text import harmless, settle
from .views import table

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_CANCEL_SECONDS = 2.0


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; {self.format_usage().strip()}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise HelpShown


class HelpShown(Exception):
    """``--help`` was asked for and has been printed."""


def age(text: str) -> float:
    """Return the seconds of "90s", "15m", "12h", "7d", "2w"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: write 90s, 15m, 12h, 7d or 2w")
    return float(match[1]) * _UNITS[match[2]]


def count(text: str) -> int:
    """Return a number of lines, from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines")
    return int(text)


def _found(names: Iterable[str]) -> list[Job]:
    """All jobs of the names, before anything is done to one of them."""
    return [load(name) for name in names]


def _touched(job: Job) -> None:
    """Let the session's views see at once what was done to a job."""
    monitor.monitor.touched(str(job.path.parent), job.name)


# ---------------------------------------------------------------- the verbs


def _status_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="jobs to show; all if none is named")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--watch", action="store_true", help="live, until Ctrl-C; in a terminal")
    how.add_argument(
        "--plain", action="store_true", help="text without colours, of any width; what goes into a pipe is plain"
    )
    how.add_argument("--json", action="store_true", help="one JSON list, for programs")


def _status(words: argparse.Namespace) -> int:
    if in_notebook() and not words.plain and not words.json:  # where the table is live with and without --watch
        from .views import dashboard  # widgets are imported where there is a page for them

        _found(words.names)
        data, metadata = dashboard.bundle(words.names or None)
        replay.show([{"output_type": "display_data", "data": data, "metadata": metadata}])
        return 0
    if words.watch:
        from .views import terminal  # rich is imported where a person looks

        _found(words.names)
        terminal.watch(monitor.Poller(words.names or None))
        return 0
    shown = monitor.rows(_found(words.names) if words.names else jobs())
    if words.json:
        now = time.time()
        print(json.dumps([row.for_programs(now) for row in shown], indent=1))
    elif not words.plain and sys.stdout.isatty():
        from .views import terminal

        terminal.show(shown)
    else:
        print(table.table(shown))
    return 0


def _wait_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="jobs to wait for")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="give up after so long; the jobs go on")


def _wait(words: argparse.Namespace) -> int:
    deadline = None if words.timeout is None else time.monotonic() + words.timeout
    good = True
    for job in _found(words.names):
        status = job.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        print(harmless(f"{job.name}: {status.describe(time.time())}"))
        good &= status.state is JobState.DONE
    return 0 if good else 1


def _log_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--err", action="store_true", help="stderr instead of stdout")
    parser.add_argument("--tail", type=count, metavar="N", help="only the last N lines")
    parser.add_argument("--all", action="store_true", help="all of a log that is longer than a megabyte")
    parser.add_argument("--task", type=int, metavar="N", help="of a sweep: the task")
    parser.add_argument("--follow", action="store_true", help="go on until the job ends, or Ctrl-C")


def _log(words: argparse.Namespace) -> int:
    job = load(words.name)
    if words.task is not None:
        return _log_of_task(as_sweep(job)[words.task], words)
    if words.follow:
        try:
            for part in job.follow(words.err, words.tail):
                print(part, end="", flush=True)
        except KeyboardInterrupt:
            print(f"\nstopped following; job {job.name} goes on")
        return 0
    text = _log_text(job, words)
    if not text and (launch := job.launch_log()):
        text = f"the cell has printed nothing; launch.log says:\n{launch}"
    print(text, end="")
    return 0


def _log_of_task(task: Task, words: argparse.Namespace) -> int:
    try:
        for part in task.follow(words.err, words.tail) if words.follow else (settle(task.log(words.err, words.tail)),):
            print(part, end="", flush=True)
    except KeyboardInterrupt:
        print(f"\nstopped following; task {task.index} of {task.sweep.name} goes on")
    return 0


def _log_text(job: Job, words: argparse.Namespace) -> str:
    """The log as a terminal would show it in the end; of a long one the end, unless so many lines are asked for."""
    path = job.log_path(words.err)
    excess = log_size(path) - STREAM_LIMIT
    if words.tail is not None or words.all or excess <= 0:
        return settle(read_log(path, words.tail))
    rest = read_part(path, excess, STREAM_LIMIT).decode("utf-8", "replace").partition("\n")[2]
    return f"… {excess} bytes left out: --all shows them, or {path}\n{settle(rest)}"


def _info_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="for programs")


def _info(words: argparse.Namespace) -> int:
    info = load(words.name).info()
    print(json.dumps(info, indent=1) if words.json else table.facts(info))
    return 0


def _show_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")


def _show(words: argparse.Namespace) -> int:
    """State, cell, and what it has put out with its result."""
    job = load(words.name)
    status = job.status()
    print(harmless("; ".join((f"{job.name}: {status.describe(time.time())}", *job.remarks(status)))))
    print(job.cell().rstrip("\n"), end="\n\n")
    job.show()
    tell_lost_result(job)
    return 1 if status.state in (JobState.FAILED, JobState.CANCELLED) else 0


def tell_lost_result(job: Job) -> None:
    """Say so if the result could not be kept, although it is shown."""
    outcome = job.outcome()
    if outcome is not None and outcome.result is not None and outcome.result.error:
        print(harmless(f"the result was not kept: {outcome.result.error}"))


def _export_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("path", nargs="?", metavar="FILE", help="default NAME.ipynb")
    parser.add_argument("--replace", action="store_true", help="write over a file that exists")


def _export(words: argparse.Namespace) -> int:
    path = load(words.name).export(words.path or f"{words.name}.ipynb", words.replace)
    print(f"{words.name} → {path}")
    return 0


def _cancel_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="jobs to cancel")
    parser.add_argument("--task", metavar="3,7-9", default="", help="of a sweep: only these tasks; the others go on")
    parser.add_argument("--force", action="store_true", help="SIGKILL at once: the cell's finally do not run")


def _cancel(words: argparse.Namespace) -> int:
    chosen = _found(words.names)
    if words.task:
        return _cancel_tasks(chosen, words)
    live = []
    for job in chosen:
        if (status := job.status()).state.ended:
            print(harmless(f"{job.name}: had ended, {status.describe(time.time())}"))
            continue
        job.cancel(force=words.force)
        _touched(job)
        live.append((job.name, job))
    _tell_ends(live)
    return 0


def _tell_ends(cancelled: Sequence[tuple[str, Job | Task]]) -> None:
    """Tell what has become of what was cancelled; for a short while the end is waited for."""
    deadline = time.monotonic() + _CANCEL_SECONDS
    for name, each in cancelled:
        while not (status := each.status()).state.ended and time.monotonic() < deadline:
            time.sleep(0.02)
        print(harmless(f"{name}: {status.describe(time.time())}"))


def _cancel_tasks(chosen: list[Job], words: argparse.Namespace) -> int:
    if len(chosen) != 1:
        raise UsageError("--task is for one sweep")
    sweep = as_sweep(chosen[0])
    tasks = [sweep[number] for number in sweep.numbers(words.task)]
    sweep.cancel_tasks(words.task, words.force)
    _touched(sweep)
    _tell_ends([(f"{sweep.name}, task {task.index}", task) for task in tasks])
    return 0


def _clean_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="jobs to delete; they must have ended")
    parser.add_argument("--done", action="store_true", help="delete all jobs that are done")
    parser.add_argument("--failed", action="store_true", help="delete all jobs that failed or were cancelled")
    parser.add_argument(
        "--older", type=age, metavar="AGE", help="of these, or of all that ended, only those that ended so long ago: 12h, 7d"
    )


def _clean(words: argparse.Namespace) -> int:
    if words.names and (words.done or words.failed or words.older is not None):
        raise UsageError("either names, or --done, --failed, --older")
    if not words.names and not words.done and not words.failed and words.older is None:
        raise UsageError("name the jobs to delete, or say --done, --failed or --older 7d")
    if words.names:
        chosen = _found(dict.fromkeys(words.names))
        for job in chosen:  # all of them, or none
            job.require_ended("delete")
    else:
        states = {JobState.DONE} if words.done else set()
        states |= {JobState.FAILED, JobState.CANCELLED} if words.failed else set()
        every = {JobState.DONE, JobState.FAILED, JobState.CANCELLED}
        chosen = ended_jobs(jobs(), frozenset(states or every), words.older or 0.0)
    for job in chosen:
        job.cleanup()
        _touched(job)
        print(f"deleted {job.name}")
    if not chosen:
        print("nothing to delete")
    return 0


def _rerun_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--failed", action="store_true", help="of a sweep: only the tasks that are not done")


def _rerun(words: argparse.Namespace) -> int:
    job = load(words.name).rerun(words.options, words.failed)
    _touched(job)
    run = job.status().run
    submitted = job.directory.run(run).submitted()
    again = len(read(submitted.tasks)) if submitted is not None and submitted.tasks else 0
    tasks = f", {again} task{'' if again == 1 else 's'}" if again else ""
    print(harmless(f"{job.name}: run {run}{tasks} → {job.spec().backend}"))
    return 0


def _tasks_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--state", default="", choices=[state.value for state in JobState if state is not JobState.EMPTY], help="only these"
    )
    parser.add_argument("--json", action="store_true", help="one JSON list, for programs")


def _tasks(words: argparse.Namespace) -> int:
    sweep = as_sweep(load(words.name))
    if words.json:
        chosen = [end.for_programs() for end in sweep.ends() if words.state in ("", end.status.state.value)]
        print(json.dumps(chosen, indent=1))
    else:
        print(sweep.summary(len(sweep), words.state))
    return 0


def _doctor_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend", action="append", metavar="B", help="try only this one, more often for several; all if none is named"
    )
    parser.add_argument("--slurm", dest="backend", action="append_const", const="slurm", help="the same as --backend slurm")
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="how long to wait for each tiny job; default 60"
    )
    parser.add_argument("--json", action="store_true", help="one JSON list, for programs")


def _doctor(words: argparse.Namespace) -> int:
    from . import doctor  # few commands need it
    from .views import checkup

    if words.options and len(words.backend or ()) != 1:
        raise UsageError("say whose options these are, for example: --backend slurm -- -p debug")
    found: list[Finding] = []
    try:
        with contextlib.closing(doctor.examine(words.backend, words.options or (), words.timeout)) as findings:
            for finding in findings:
                if not words.json:
                    checkup.show(finding, found[-1] if found else None)
                found.append(finding)
    except KeyboardInterrupt:
        print("\nstopped; what was tried is cleaned up", file=sys.stderr)
        return 130
    if words.json:
        print(json.dumps([{**asdict(each), "verdict": each.verdict.value} for each in found], indent=1))
    else:
        print(f"\n{checkup.summary(found)}")
    return 1 if any(each.verdict is Verdict.TROUBLE for each in found) else 0


@dataclass(frozen=True)
class Verb:
    """A command.

    Attributes
    ----------
    help : str
        One line.
    configure : callable
        Adds its words to a parser.
    run : callable
        Does it; returns the exit code.
    takes_options : bool
        Whether ``-- OPTIONS`` for a backend may follow.
    """

    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    takes_options: bool = False


VERBS = {
    "status": Verb("show the jobs and their states", _status_words, _status),
    "log": Verb("show what a job prints", _log_words, _log),
    "info": Verb("show all that is known of a job", _info_words, _info),
    "wait": Verb("wait until jobs have ended", _wait_words, _wait),
    "cancel": Verb("stop jobs", _cancel_words, _cancel),
    "show": Verb("show what a job has put out so far, and its result", _show_words, _show),
    "export": Verb("write a notebook with a job's cell, output and facts", _export_words, _export),
    "clean": Verb("delete jobs that have ended", _clean_words, _clean),
    "rerun": Verb("run a job's capture once more", _rerun_words, _rerun, True),
    "tasks": Verb("show the tasks of a sweep: what each is given, its state, its result", _tasks_words, _tasks),
    "doctor": Verb("look whether all that jobs need is there, and say how to mend it", _doctor_words, _doctor, True),
}


def split_options(words: list[str]) -> tuple[list[str], list[str] | None]:
    """Split at ``--``: the command's own words, and the backend's options or None."""
    if "--" not in words:
        return words, None
    at = words.index("--")
    return words[:at], words[at + 1 :]


def configure(verb: str, parser: argparse.ArgumentParser) -> None:
    """Add the words of a verb to a parser, and to its usage line what `split_options` takes off before."""
    VERBS[verb].configure(parser)
    if VERBS[verb].takes_options:
        usage = parser.format_usage().removeprefix("usage: ").rstrip()
        parser.usage = f"{usage} [-- BACKEND OPTIONS]".replace("%", "%%")


def verb_parser(verb: str, program: str) -> Parser:
    """Return the parser of a verb, for `program` in its usage line."""
    parser = Parser(prog=program, description=VERBS[verb].help, allow_abbrev=False)
    configure(verb, parser)
    return parser


def run(verb: str, words: list[str], program: str) -> int:
    """Carry a verb out; return its exit code.

    Raises
    ------
    UsageError
        If the words do not fit.
    PersistError
        Whatever went wrong.
    """
    words, options = split_options(words)
    if options is not None and not VERBS[verb].takes_options:
        raise UsageError(f"{program} takes nothing after --")
    parsed = verb_parser(verb, program).parse_args(words)
    parsed.options = options
    return VERBS[verb].run(parsed)


def report(error: PersistError) -> None:
    """Print an error of ours for a shell."""
    print(f"persist-magic: {harmless(str(error))}", file=sys.stderr)
