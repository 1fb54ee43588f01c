"""The magics: lines become words, words go to `job` and `commands`, what comes back is shown.

Owns the magics' manual pages, the settings (``%config PersistMagics``), completion of job names, and how an error of ours
looks in IPython: one line. Has no logic of its own.
"""

from __future__ import annotations
import __future__

import contextlib
import inspect
import math
import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.utils.text import DollarFormatter
from traitlets import List as ListTrait
from traitlets import Unicode
from traitlets.config import Configurable

from . import commands, replay
from .backends import BUILT_IN, get_backend
from .capture.environment import in_notebook
from .each import evaluate, split_line
from .errors import JobCancelled, JobFailed, NotPickled, PersistError, UsageError
from .job import Job
from .session import DEFAULT_ROOT, ROOT_VARIABLE, set_session_root
from .status import JobState
from .store import trusting
from .submission import jobs, load, preview, submit
from .sweep import Sweep
from .text import harmless
from .views import table

if TYPE_CHECKING:
    from .each import Axis
    from .outputs import Output

F = TypeVar("F", bound=Callable[..., Any])

_FUTURE_FLAGS = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Let IPython show our errors as one line and a cell's failure as the job's own traceback; no frames of ours."""
    try:
        yield
    except JobFailed:
        raise  # it knows how it looks
    except PersistError as error:
        words = [f"{type(error).__name__}: {error}"]
        error._render_traceback_ = lambda: words  # type: ignore[attr-defined]
        raise
    except commands.HelpShown:
        return


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{error}: {line}") from None


def _with_value(option: str, words: list[str]) -> list[str]:
    """Let an option take a word that looks like another option, which argparse does only in one piece."""
    if option not in words[:-1]:
        return words
    at = words.index(option)
    return [*words[:at], f"{option}={words[at + 1]}", *words[at + 2 :]]


def _manual(parser: commands.Parser) -> Callable[[F], F]:
    """Put the words that a magic takes below its docstring, which is its manual page."""
    parser.description = None  # the docstring says more

    def add(function: F) -> F:
        function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{parser.format_help()}"
        return function

    return add


def _verb(name: str) -> Callable[[F], F]:
    return _manual(commands.verb_parser(name, f"%persist_{name}"))


def _persist_parser() -> commands.Parser:
    parser = commands.Parser(
        prog="%%persist", usage="%%%%persist NAME [options] [-- BACKEND OPTIONS]", allow_abbrev=False, add_help=False
    )
    parser.add_argument("name", metavar="NAME", help="letters, digits, . _ -; at most 100 characters")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--backend", default="local", metavar="B", help="where the job runs: local (the default), slurm")
    where.add_argument("--slurm", dest="backend", action="store_const", const="slurm", help="the same as --backend slurm")
    parser.add_argument("--after", action="append", default=[], metavar="a,b", help="start when these jobs are done")
    parser.add_argument("--mpi", type=int, default=0, metavar="N", help="run in N MPI processes; rank 0's result counts")
    parser.add_argument("--mpi-options", default="", metavar="'...'", help="options of mpiexec, or under Slurm of srun")
    parser.add_argument("--python", default="", metavar="PATH", help="the interpreter that the job runs under")
    parser.add_argument("--replace", action="store_true", help="delete an older job of the name, unless it lives")
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be shipped")
    parser.add_argument("--with", dest="add", action="append", default=[], metavar="a,b", help="ship these names too")
    parser.add_argument("--without", dest="omit", action="append", default=[], metavar="c", help="do not ship these names")
    parser.add_argument(
        "--each", action="append", default=[], metavar="NAME=EXPR", help="run it as many tasks, one for each value"
    )
    parser.add_argument("--chunk", type=int, default=0, metavar="N", help="of a sweep: so many tasks in one job of Slurm's")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="of a sweep: at most so many tasks at once")
    parser.add_argument("--notify", action="store_true", help="tell when the job ends, as long as this session lives")
    parser.add_argument(
        "--snapshot", action="store_true", help="copy your own modules too: editing them later does not change the job"
    )
    return parser


def _fetch_parser() -> commands.Parser:
    parser = commands.Parser(prog="%persist_fetch", allow_abbrev=False, add_help=False)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("variables", nargs="*", metavar="VAR", help="variables to bring into the session")
    parser.add_argument("--all", action="store_true", help="bring all variables")
    parser.add_argument("--overwrite", action="store_true", help="also over names that the session has")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="how long to wait; default for ever")
    parser.add_argument("--quiet", action="store_true", help="do not show what the cell has put out")
    parser.add_argument("--trust", action="store_true", help="also if others own or may write it: as running their program")
    parser.add_argument("--task", type=int, metavar="N", help="of a sweep: only this task's result")
    parser.add_argument(
        "--errors", choices=("raise", "return"), default="raise", help="of a sweep: 'return' puts errors in their places"
    )
    return parser


def _empty_lines(code: str) -> int:
    """How many lines at the beginning hold nothing."""
    return code[: len(code) - len(code.lstrip())].count("\n")


def _listed(values: list[str]) -> tuple[str, ...]:
    return tuple(name for value in values for name in value.replace(",", " ").split())


@magics_class
class PersistMagics(Magics):
    """Jobs that outlive their session."""

    root = Unicode(
        "",
        help=f"The folder of the job directories. Empty: ${ROOT_VARIABLE}, or {DEFAULT_ROOT} in the directory that the "
        "session had when the extension was loaded.",
    ).tag(config=True)

    environment = ListTrait(
        Unicode(),
        help="Names of environment variables whose values are written down with a job, for its later runs too; never name "
        "one that holds a secret. All others a run gets from the process that starts it.",
    ).tag(config=True)

    notify_command = Unicode(
        "",
        help="A program to run when a job with --notify ends, with its arguments; {name}, {state} and {words} stand for the "
        'job\'s name, its state, and a line of words. For example: notify-send persist_magic "{words}".',
    ).tag(config=True)

    def __init__(self, shell: Any, **options: Any) -> None:
        super().__init__(shell, **options)
        self._start_directory = os.getcwd()
        self._rest: list[Output] = []

    @property
    def _session(self) -> Any:
        return self.shell

    def root_path(self) -> str:
        """Return the root now in force."""
        chosen = os.path.expanduser(self.root or os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT)
        return os.path.join(self._start_directory, chosen)

    def root_origin(self) -> str:
        """Return who chose that root, in words."""
        if self.root:
            return "from %config PersistMagics.root"
        if os.environ.get(ROOT_VARIABLE):
            return f"from ${ROOT_VARIABLE}"
        return f"the default: {DEFAULT_ROOT} in the directory in which the extension was loaded"

    @no_var_expand  # what stands after --each is Python; the rest is expanded as IPython does it
    @line_cell_magic
    @_manual(_persist_parser())
    def persist(self, line: str, cell: str | None = None) -> Job | None:
        """Run the cell as a job that outlives this session.

            %%persist calcpi
            sum(1 / n**2 for n in range(1, 10**8))

        The cell is written down with exactly the globals that it needs, also through functions, classes and instances of the
        session, and runs by itself. The session may go on, change its data, or end. The value of the last expression is
        the result; the names that the cell assigns or changes are the variables.

            job = %persist calcpi         the job, in this or any later session
            %persist_status               all jobs
            %persist_fetch calcpi         wait, show what the cell has put out, and return the result
            %persist_show calcpi          show what it has put out so far
            %persist_fetch calcpi x y     bring variables into the session
            %persist_log calcpi --follow  what it prints
            %persist_cancel calcpi        stop it
            %persist_rerun calcpi         run it once more
            %persist_clean calcpi         delete it

        The same cell with the same inputs again does not compute again: it attaches to the job that exists. After ``--``
        stand options of the backend; local takes ``--slots N`` (how many jobs run at once) and ``--nice N``, slurm takes
        those of sbatch:

            %%persist train --slurm -- -p gpu -t 4:00:00 --gres=gpu:1

        With ``--each`` the cell is run once for each value, as the tasks of a sweep; several make the product, in the order
        of nested loops, and ``--each a,b=zip(xs, ys)`` unpacks:

            %%persist fit --each alpha=np.logspace(-4, 0, 200) --each seed=range(3)
            model = Ridge(alpha=alpha, random_state=seed).fit(X, y)
            model.score(Xt, yt)

            job.table()                   what each is given, its state and result
            job[3]                        one of them: status(), stdout(), fetch(), cancel()
            %persist_tasks fit            the same as text
            %persist_log fit --task 3     what it prints
            %persist_rerun fit --failed   run those again that are not done

        Settings: ``%config PersistMagics``, ``%config LocalBackend``, ``%config SlurmBackend``.
        """
        with _one_line():
            line, each = split_line(line)
            words, options = commands.split_options(_words(self._expanded(line)))
            if cell is None:
                if each or len(words) != 1 or options is not None or words[0].startswith("-"):
                    raise UsageError(
                        "%persist NAME gives a job; %%persist NAME above a cell makes one; %persist? tells more"
                    )
                return load(words[0])
            parsed = _persist_parser().parse_args(_with_value("--mpi-options", words))
            return self._submit(parsed, options or [], cell, evaluate(each, self._session.user_ns))
        return None

    def _submit(self, words: Any, options: list[str], cell: str, each: Sequence[Axis]) -> Job | None:
        from .capture.cell import Selection, Source  # what capture needs is imported by the first capture

        extensions: set[str] = getattr(self._session.extension_manager, "loaded", set())
        source = Source(
            kind="cell",
            text=cell,
            code=self._transformed(cell),
            future_flags=self._session.compile.flags & _FUTURE_FLAGS,
            extensions=tuple(sorted(name for name in extensions if name not in ("persist_magic", "storemagic"))),
        )
        if words.notify:
            from .views import notification

            notification.check(self.notify_command)
        selection = Selection(_listed(words.add), _listed(words.omit))
        namespace = self._session.user_ns
        if words.dry_run:
            where = {"backend": words.backend, "options": options}
            captured = preview(words.name, source, namespace, **where, selection=selection, each=each)
            tasks = f"run {math.prod(len(values) for _, values in each)} tasks and " if each else ""
            print(f"{words.name} would {tasks}ship {table.shipped(captured.names, captured.size)}; nothing was written")
            if captured.names:
                print(table.names_table(captured.names))
            if captured.modules:
                print(table.modules_line(captured.modules))
            self._remark(captured.warnings)
            return None
        submission = submit(
            words.name,
            source,
            namespace,
            backend=words.backend,
            options=options,
            after=_listed(words.after),
            mpi=words.mpi,
            mpi_options=_words(words.mpi_options),
            python=words.python,
            replace=words.replace,
            snapshot=words.snapshot,
            environment=self.environment,
            selection=selection,
            each=each,
            chunk=words.chunk,
            limit=words.limit,
        )
        print(table.submission_line(submission, time.time()))
        self._remark(submission.capture.warnings)
        if words.notify:
            from .monitor import monitor

            monitor.when_ended(submission.job, notification.prepare(self.notify_command))
        return submission.job

    def _expanded(self, line: str) -> str:
        """A line with ``$name`` and ``{expression}`` replaced by the session's values; as it is if that fails."""
        try:
            return str(DollarFormatter().vformat(line, args=[], kwargs=dict(self._session.user_ns)))
        except Exception:  # noqa: BLE001  as IPython does: what is no expression stays
            return line

    def _transformed(self, cell: str) -> str:
        """The cell as plain Python, its lines where they were: IPython drops empty ones at the beginning."""
        code: str = self._session.transform_cell(cell)
        dropped = _empty_lines(cell) - _empty_lines(code)
        return "\n" * dropped + code

    @staticmethod
    def _remark(remarks: Iterable[str]) -> None:
        for remark in remarks:
            print(harmless(f"  note: {remark}"))

    def _run(self, verb: str, line: str) -> None:
        with _one_line():
            commands.run(verb, _words(line), f"%persist_{verb}")

    @line_magic
    @_verb("status")
    def persist_status(self, line: str) -> None:
        """Show the jobs with their states: where, since when, and why.

            %persist_status               all jobs: in a notebook a live dashboard, in a terminal a table
            %persist_status calcpi train  these
            %persist_status --watch       live in a terminal, too, until Ctrl-C

        A state is what the job's files and its backend prove. If neither can be asked, the last proven one stands, with
        its age: ``running when last seen 12 min ago``.
        """
        self._run("status", line)

    @line_magic
    @_verb("wait")
    def persist_wait(self, line: str) -> None:
        """Wait until jobs have ended, and say how.

            %persist_wait prepare train
            %persist_wait train --timeout 60

        Interrupting the wait does not touch the jobs.
        """
        self._run("wait", line)

    @line_magic
    @_manual(_fetch_parser())
    def persist_fetch(self, line: str) -> Any:
        """Wait for a job, show what its cell has put out, and return the result; as if the cell had run here.

            %persist_fetch calcpi
            %persist_fetch train model scores
            pi = %persist_fetch calcpi --quiet

        Variables that are named come into the session instead of the outputs; of a job that failed, as they were when it
        failed. A name that the session has is never overwritten, unless you say ``--overwrite``. Of a sweep the results come
        as a list, in order; if tasks have failed, an error lists them, and ``--errors return`` gives the errors in their
        places.
        """
        with _one_line():
            words = _fetch_parser().parse_args(_words(line))
            with trusting() if words.trust else contextlib.nullcontext():
                return self._fetch(load(words.name), words)
        return None

    def _fetch(self, job: Job, words: Any) -> Any:
        if isinstance(job, Sweep):
            return self._fetch_sweep(job, words)
        if words.task is not None or words.errors != "raise":
            raise UsageError(f"job {job.name} is one cell and no sweep: --task and --errors are for sweeps")
        if words.variables or words.all:
            self._bring(job, words)
            try:
                return job.fetch(words.timeout)
            except (JobFailed, JobCancelled, NotPickled) as error:
                print(harmless(str(error).splitlines()[0]))
                return None
        status = job.wait(words.timeout)
        self._remark(job.remarks(status))
        if not words.quiet:
            self._replay(job)
        return job.fetch(words.timeout)

    def _fetch_sweep(self, sweep: Sweep, words: Any) -> Any:
        if words.variables or words.all:
            raise UsageError(
                f"of the tasks of {sweep.name} only results are kept: let the cell's last line name what you want"
            )
        if words.task is None:
            return sweep.fetch(words.timeout, words.errors)
        task = sweep[words.task]
        task.wait(words.timeout)
        if not words.quiet:
            replay.show(task.outputs_before_error())
        return task.fetch(words.timeout)

    def _replay(self, job: Job) -> None:
        """Show what the cell has put out, but for its result or error, which IPython shows as what the magic gives."""
        self._show_rest()
        try:
            before, self._rest = job.outputs_around_result()
        except PersistError as error:  # the result may be there all the same
            self._remark([f"what the cell has put out cannot be shown: {error}"])
            return
        replay.show(before)
        if self._rest:  # for example figures, which a notebook shows below the result
            self._session.events.register("post_execute", self._show_rest)

    def _show_rest(self) -> None:
        rest, self._rest = self._rest, []
        if rest:
            self._session.events.unregister("post_execute", self._show_rest)
            replay.show(rest)

    def _bring(self, job: Job, words: Any) -> None:
        job.wait(words.timeout)
        names = None if words.all else words.variables
        values, left_out = job.bring(self._session.user_ns, names, words.overwrite)
        for why in left_out:
            print(harmless(f"left out: {why}"))
        self._session.push(values)
        print(f"{', '.join(values) or 'nothing'} ← {job.name}")

    @line_magic
    @_verb("show")
    def persist_show(self, line: str) -> None:
        """Show what a job's cell has put out so far: text, figures, result, error; as if it had run here.

            %persist_show calcpi

        Nothing is waited for, and no result is loaded but plain data.
        """
        with _one_line():
            words = commands.verb_parser("show", "%persist_show").parse_args(_words(line))
            job = load(words.name)
            status = job.status()
            self._show_rest()
            if status.state is not JobState.DONE:
                print(harmless(f"{job.name}: {status.describe(time.time())}"))
            self._remark(job.remarks(status))
            job.show()
            commands.tell_lost_result(job)

    @line_magic
    @_verb("log")
    def persist_log(self, line: str) -> None:
        """Show what a job prints, as a terminal would show it.

            %persist_log calcpi
            %persist_log calcpi --follow     as it comes, until the job ends or Ctrl-C
            %persist_log calcpi --tail 20
            %persist_log calcpi --err        stderr
            %persist_log fit --task 3        a task of a sweep

        Of a log longer than a megabyte the end is shown, and where the rest is.
        """
        self._run("log", line)

    @line_magic
    @_verb("cancel")
    def persist_cancel(self, line: str) -> None:
        """Stop jobs: KeyboardInterrupt in the cell, ten seconds for its ``finally``, then SIGKILL for all its processes.

            %persist_cancel calcpi train
            %persist_cancel calcpi --force   SIGKILL at once
            %persist_cancel fit --task 3,7-9

        What a cancelled job had printed, and its variables, stay until it is cleaned.
        """
        self._run("cancel", line)

    @line_magic
    @_verb("clean")
    def persist_clean(self, line: str) -> None:
        """Delete jobs that have ended, with all their runs.

            %persist_clean calcpi train
            %persist_clean --failed
            %persist_clean --done --older 7d

        A job that lives is not deleted: ``%persist_cancel`` it first.
        """
        self._run("clean", line)

    @line_magic
    @_verb("rerun")
    def persist_rerun(self, line: str) -> None:
        """Run what was captured once more, as the job's next run; older runs stay until the job is cleaned.

            %persist_rerun calcpi
            %persist_rerun train -- -t 8:00:00   with more options of its backend; the last one counts
            %persist_rerun fit --failed          of a sweep only what is not done

        The cell and its data are those of the first submission, whatever the session has now; ``%%persist NAME --replace``
        submits an edited cell.
        """
        self._run("rerun", line)

    @line_magic
    @_verb("tasks")
    def persist_tasks(self, line: str) -> None:
        """Show the tasks of a sweep: what each is given, its state, how long it took, and its result.

            %persist_tasks fit
            %persist_tasks fit --state failed

        ``job.table()`` gives the same as a DataFrame, results included.
        """
        self._run("tasks", line)

    @line_magic
    @_verb("doctor")
    def persist_doctor(self, line: str) -> None:
        """Look whether all that jobs need is there: the root, the packages, each backend, the kernel; say how to mend it.

            %persist_doctor                                 everything
            %persist_doctor --slurm -- -p debug -A project  Slurm, with these options for its tiny job

        A tiny job is run on each backend, in a hidden folder of the root, and deleted again. No other job is touched.
        """
        self._run("doctor", line)


def _complete(shell: Any, event: Any) -> list[str]:
    """Names of jobs, for the Tab key."""
    try:
        return [job.name for job in jobs()]
    except PersistError:
        return []


def _card(job: Job) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """What a notebook shows of a job that is a cell's value."""
    if not in_notebook():
        return None
    from .views import dashboard  # widgets are imported where there is a page for them

    try:
        return dashboard.job_bundle(job)
    except PersistError:  # its repr tells
        return None


def register(ipython: Any) -> None:
    """Install magics, settings, completion and the card of a job in a shell."""
    magics = PersistMagics(ipython)
    ipython.register_magics(magics)
    set_session_root(magics.root_path, magics.root_origin)
    for backend in map(get_backend, BUILT_IN):
        assert isinstance(backend, Configurable)
        backend.update_config(ipython.config)
        if backend not in ipython.configurables:
            ipython.configurables.append(backend)
    for magic in magics.magics["line"]:
        ipython.set_hook("complete_command", _complete, str_key=f"%{magic}")
    ipython.set_hook("complete_command", _complete, str_key="%%persist")
    ipython.display_formatter.mimebundle_formatter.for_type(Job, _card)


def unregister(ipython: Any) -> None:
    """Take the settings back; IPython offers no way to take magics back."""
    set_session_root(None)
    ipython.display_formatter.mimebundle_formatter.pop(Job, None)
    ours = [get_backend(name) for name in BUILT_IN]
    ipython.configurables[:] = [
        each for each in ipython.configurables if not isinstance(each, PersistMagics) and each not in ours
    ]
