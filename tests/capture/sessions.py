"""Real sessions and real jobs for many stories at once.

Owns the batch: ``play`` hands stories to one process (this file run as a script), which makes an IPython shell with the
extension loaded and forks for each story. The fork runs the set-up as cells, submits the story's cell with ``%%persist``,
waits, and fetches. What came of it goes into a file, so that a session or a job that crashes or hangs is told as such.
"""

import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

JOB_SECONDS = 60.0
SESSION_SECONDS = 120
BATCH_SECONDS = 900
"""After so long a job, a session, or the whole batch counts as hanging."""
SESSIONS = 4
"""So many stories are told at once: most of the time a session waits for its job."""
SLOTS = 3
NEXT_CELL = "# ---\n"
"""Parts a set-up into several cells."""
LIBRARIES = ("numpy", "scipy", "pandas", "sklearn", "matplotlib.pyplot", "numba")
"""What is slow to import: the sessions whose stories name it find it imported, so that it is done once."""


@dataclass
class Answer:
    """What became of a story.

    Attributes
    ----------
    failure : str
        What went wrong, a refused submission apart; "" if all is well.
    refused : dict
        Of the error that the submission raised: its type, its words, and its attributes.
    printed : str
        What the submission printed.
    names : list of str
        What was captured.
    warnings : list of str
    result : str
        The repr of what was fetched.
    variables : dict of str to str
        The repr of each variable.
    """

    failure: str = ""
    refused: dict = field(default_factory=dict)
    printed: str = ""
    names: list = field(default_factory=list)
    warnings: list = field(default_factory=list)
    result: str = ""
    variables: dict = field(default_factory=dict)


# ---------------------------------------------------------------- in the test's process


def play(stories, scratch, job_seconds=JOB_SECONDS):
    """Do each story in a session of its own.

    Parameters
    ----------
    stories : dict of str to tuple of str
        Set-up, cell, and for some what the session checks with ``back``, the fetched result. ``{scratch}`` in them is the
        folder.
    scratch : Path
        An empty folder.
    job_seconds : float
        How long a job may take; then it is cancelled.

    Returns
    -------
    dict of str to Answer
    """

    def text(part):
        return textwrap.dedent(part).strip("\n").replace("{scratch}", str(scratch)) + "\n"

    (scratch / "stories.json").write_text(json.dumps([[text(part) for part in story] for story in stories.values()]))
    (scratch / "data.txt").write_text("one\ntwo\n")
    (scratch / "local").mkdir()
    (scratch / "local" / "helpers.py").write_text("def shout(text): return text.upper() + '!'\nclass Helper:\n    pass\n")
    (scratch / "answers").mkdir()
    batch = subprocess.Popen(
        [sys.executable, __file__, scratch, str(job_seconds)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PERSIST_ROOT": str(scratch / "jobs"), "IPYTHONDIR": str(scratch / "ipython")},
    )
    try:
        assert batch.wait(BATCH_SECONDS) == 0
    except BaseException:
        batch.kill()
        batch.wait()
        stop_all(scratch / "jobs")
        raise
    files = [scratch / "answers" / f"{number}.json" for number in range(len(stories))]
    return {name: Answer(**json.loads(file.read_text())) for name, file in zip(stories, files, strict=True)}


def stop_all(root):
    """End what still runs."""
    from persist_magic.submission import jobs

    for job in jobs(root):
        job.cancel(force=True)


# ---------------------------------------------------------------- in the batch's process


def main(directory, job_seconds):
    scratch = Path(directory)
    os.chdir(scratch)
    stories = json.loads((scratch / "stories.json").read_text())
    shell = new_shell()
    told = {}
    needs = [
        [each for each in LIBRARIES if re.search(rf"\b{each.partition('.')[0]}\b", "".join(story))] for story in stories
    ]
    for number in sorted(
        range(len(stories)), key=lambda number: [library in needs[number] for library in reversed(LIBRARIES)]
    ):
        for library in needs[number]:
            importlib.import_module(library)
        if len(told) == SESSIONS:
            gather(told, scratch)
        pid = os.fork()
        if pid == 0:
            tell(shell, f"story-{number}", stories[number], scratch / "answers" / f"{number}.json", float(job_seconds))
        told[pid] = number
    while told:
        gather(told, scratch)


def new_shell():
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False  # its thread would not live on in the forks
    config.LocalBackend.slots = SLOTS
    shell = InteractiveShell.instance(config=config, colors="nocolor")
    shell.run_line_magic("load_ext", "persist_magic")
    shell.run_cell("%%persist warm --dry-run\n1")  # what each capture imports
    shell.reset()
    return shell


def gather(told, scratch):
    """Wait for one of the sessions; if it did not end by itself, say so and cancel its job."""
    from persist_magic import load
    from persist_magic.errors import PersistError

    pid, status = os.wait()
    number = told.pop(pid)
    if status:
        name = f"story-{number}"
        with contextlib.suppress(PersistError):
            load(name).cancel(force=True)
        words = f"the session ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "the session crashed"
        (scratch / "answers" / f"{number}.json").write_text(json.dumps(asdict(Answer(failure=words))))


def tell(shell, name, story, file, job_seconds):
    """Be the session of one story; never returns."""
    signal.alarm(SESSION_SECONDS)
    answer = Answer()
    try:
        with open(file.with_suffix(".out"), "w+b") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            session(shell, name, story, answer, output, job_seconds)
    except BaseException:  # noqa: BLE001  it is what the test will tell
        answer.failure = traceback.format_exc()
    file.write_text(json.dumps(asdict(answer)))
    os._exit(0)


def session(shell, name, story, answer, output, job_seconds):
    setup, cell, *home = story
    for each in setup.split(NEXT_CELL):
        if problem := run(shell, each):
            answer.failure = f"the set-up failed: {problem!r}"
            return
    begin = output.seek(0, os.SEEK_END)
    refusal = run(shell, f"%%persist {name}\n{cell}")
    sys.stdout.flush()
    output.seek(begin)
    answer.printed = output.read().decode()
    if refusal is not None:
        told = {key: value for key, value in vars(refusal).items() if isinstance(value, str)}
        answer.refused = {**told, "type": type(refusal).__name__, "words": str(refusal)}
        answer.failure = f"not submitted: {refusal}"
        return
    fetch(name, answer, job_seconds)
    if home and not answer.failure:
        problem = run(shell, f"back = %persist_fetch {name}") or run(shell, home[0])
        if problem:
            answer.failure = "".join(traceback.format_exception(problem))


def fetch(name, answer, job_seconds):
    from persist_magic import load
    from persist_magic.errors import JobTimeout, PersistError

    job = load(name, os.environ["PERSIST_ROOT"])
    try:
        answer.result = words(job.fetch(job_seconds))
    except JobTimeout as error:
        job.cancel(force=True)
        answer.failure = str(error)
        return
    except PersistError as error:
        answer.failure = str(error)
    info = job.info()
    answer.names = [each["name"] for each in info["names"]]
    answer.warnings = list(info["warnings"])
    for variable in job.variables:
        try:
            answer.variables[variable] = words(job.variables[variable])
        except PersistError as error:
            answer.variables[variable] = str(error)


def words(value):
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  stories have objects whose repr raises
        return f"its repr raised {type(error).__name__}"


def run(shell, cell):
    """Run a cell; return what it raised."""
    outcome = shell.run_cell(cell, store_history=True)
    return outcome.error_before_exec or outcome.error_in_exec


if __name__ == "__main__":
    main(*sys.argv[1:])
