"""The child: restores the capture into a fresh ``__main__``, runs the cell, writes what came of it.

Owns the cell's world (directory, sys.path, ``__main__``, a shell if one is asked for), its execution with the value of the
last expression, and the outcome record with result and variables. Standard library only until the cell or its values ask
for more.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import os
import signal
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator

from ..errors import PersistError
from ..frozen import Frozen, frozen
from ..restore import read_session, restore_session
from ..store import JobDirectory, JobSpec, KeptValue, Outcome, RunDirectory, write_atomic
from .recording import Recorder, raise_in_cell, safe_str
from .supervisor import EXIT_NOT_WRITTEN, STOP_RANK
from .watching import ImportWatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .shell import JobShell

present: RunDirectory | None = None
"""What this process runs, in whose world the cell is."""

_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE; inspect itself is slow to import
_NOT_VARIABLES = frozenset({"_", "__", "___", "_exit_code"})


def run_child(job: JobDirectory, run: RunDirectory, spec: JobSpec, blocked: Iterable[int]) -> NoReturn:
    """Be the child: never returns into the supervisor's code."""
    global present
    code, present = EXIT_NOT_WRITTEN, run
    try:
        recorder = redirect(run)
        handle_signals(blocked)
        code = Execution(job, run, spec, recorder).run()
    except BaseException:  # noqa: BLE001  there is nobody left to tell but stderr
        import traceback

        traceback.print_exc()
    finish()
    os._exit(code)


def finish() -> None:
    """Do what ends an interpreter: threads are waited for, atexit functions run.

    As multiprocessing does it in its forked children: an exception would unwind the supervisor's own frames.
    """
    import atexit

    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        atexit._run_exitfuncs()
        mpi: Any = sys.modules.get("mpi4py.MPI")
        if mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized():
            mpi.Finalize()  # which mpi4py does when the interpreter ends; without it mpiexec takes this for a crash
    except BaseException:  # noqa: BLE001  the cell's outcome is written; only stderr hears of this
        import traceback

        traceback.print_exc()
    _flush()


def redirect(run: RunDirectory, condenses: bool = True) -> Recorder:
    """Let file descriptors 0 to 2, and so the cell's own children, use /dev/null and the run's files."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]
    return Recorder(run, condenses)


def handle_signals(blocked: Iterable[int]) -> None:
    """Let signals mean for the cell what they mean in a session, and SIGTERM a KeyboardInterrupt."""
    import faulthandler

    told = False

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        """A cancel: the cell sees KeyboardInterrupt, so that its ``finally`` run; once, since a scheduler tells it too."""
        nonlocal told
        if not told:
            told = True
            raise_in_cell(KeyboardInterrupt(), frame)

    # What the cell forks ends by SIGTERM as in the session. One that comes while Python is forking waits until the child has
    # the default again: Python itself forgets signals that reach a child too early.
    masks: list[set[signal.Signals]] = []

    def hold() -> None:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}))  # type: ignore[arg-type]

    def let_go() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop())

    def let_go_in_child() -> None:
        if signal.getsignal(signal.SIGTERM) is interrupt:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        let_go()

    os.register_at_fork(before=hold, after_in_parent=let_go, after_in_child=let_go_in_child)
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(STOP_RANK, interrupt)
    # a scheduler's warning ends nothing by itself; not SIG_IGN, which the cell's own programs would inherit
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # a shell's background jobs ignore it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    faulthandler.enable(2)  # a crash in a library leaves the Python lines that led there


@frozen
class CellEnd(Frozen):
    """How a cell came to its end.

    Attributes
    ----------
    outcome : str
        "done" or "failed".
    reason, traceback : str
    error : BaseException or None
        What ended it.
    result : object
        The value of the last expression.
    """

    outcome: str
    reason: str
    traceback: str
    error: BaseException | None
    result: Any


class Execution:
    """A cell's world, and executions of the cell in it.

    Attributes
    ----------
    at_ease : bool
        Whether there is time to import IPython for the looks of an error.
    """

    def __init__(self, job: JobDirectory, run: RunDirectory, spec: JobSpec, recorder: Recorder) -> None:
        self.job, self.run_directory, self.spec, self.recorder = job, run, spec, recorder
        self.cell_file = job.cell_path  # the code's name, wherever the directory is moved meanwhile
        self.at_ease = True
        self.shell: JobShell | None = None
        self.result_is_plain = False
        self.main = types.ModuleType("__main__")
        self.namespace = self.main.__dict__
        self.namespace["__builtins__"] = builtins
        self.shell_names: set[str] = set()
        self.pid = os.getpid()
        self.own_path = list(sys.path)

    def be_task(self, files: RunDirectory, recorder: Recorder) -> None:
        """Be the process of one task of a sweep, in a world that its parent has laid."""
        global present
        present = files
        self.run_directory, self.recorder, self.pid = files, recorder, os.getpid()
        self.at_ease = self.shell is not None
        if self.shell is not None:
            self.shell.recorder = recorder

    def run(self) -> int:
        """Run the job's cell; return the exit code."""
        before: dict[str, int] = {}

        def cell() -> Any:
            self.lay_world()
            # Data by its ids: what the cell deletes is to be gone. Another object that gets the id is told by its digest
            before.update((name, id(value)) for name, value in self.namespace.items())
            kinds = types.FunctionType, types.ModuleType, type
            self.kept_alive = [value for value in self.namespace.values() if issubclass(type(value), kinds)]
            result = self.run_cell(*self.compiled())
            self.result_is_plain = self._show_result(result)
            return result

        return self._hand_over(self.attempt(cell), before)

    def attempt(self, cell: Callable[[], Any]) -> CellEnd:
        """Run the cell; whatever ends it is its outcome. A process that the cell forked does not return from here."""
        outcome, reason, trace = "done", "", ""
        result: Any = None
        error: BaseException | None = None
        try:
            result = cell()
        except SystemExit as leaving:
            outcome, reason = _exit_words(leaving)
            error = leaving if outcome == "failed" else None
        except BaseException as raised:  # noqa: BLE001  whatever ends the cell is its outcome
            error = raised
        self._own_path_first()
        if error is not None and outcome == "done":
            outcome, (reason, trace) = "failed", self.words(error)
            if os.getpid() == self.pid:
                with self._of_result():
                    self._show_error(error, trace)
        self._show_figures()
        self._close_progress()
        _flush()
        if os.getpid() != self.pid:  # a child that the cell forked and let run out of it
            finish()
            os._exit(_exit_code(error, outcome))
        return CellEnd(outcome, reason, trace, error, result)

    def _own_path_first(self) -> None:
        """Let no ``traceback.py`` beside the notebook shadow what the worker imports from now on."""
        sys.path[:] = [*self.own_path, *sys.path]

    # ---- the cell's world

    def lay_world(self) -> None:
        """Restore what was captured, in the session's directory and with its paths."""
        spec = self.spec
        os.environ.update({name: str(value) for name, value in spec.environment.items()})
        try:
            os.chdir(spec.cwd)
        except OSError as error:
            raise FileNotFoundError(f"the session's directory {spec.cwd!r} cannot be entered: {error.strerror}") from None
        self._watch_imports()
        if spec.snapshot:
            self.job.check_trusted(self.job.modules_path)
        captured = read_session(self.job, spec.payload)  # while nothing of the session's can shadow what that needs
        _lay_path((self.job.modules_path, *spec.sys_path) if spec.snapshot else spec.sys_path)
        sys.argv = [self.cell_file]
        sys.modules["__main__"] = self.main
        builtins.get_ipython = self._get_ipython  # type: ignore[attr-defined]
        builtins.display = self._display  # type: ignore[attr-defined]
        restore_session(captured, self.namespace)

    def _watch_imports(self) -> None:
        """Let what the cell imports find what it would find in a session."""

        def before_matplotlib() -> None:
            from .figures import choose_backend

            choose_backend()

        def after_matplotlib() -> None:
            from .figures import apply

            apply(self.spec.figures.get("rc", {}))

        def after_tqdm() -> None:
            from .progress import board_of, listen_to_tqdm

            listen_to_tqdm(lambda: board_of(self.run_directory))

        ImportWatch(
            before={"matplotlib": before_matplotlib},
            after={"IPython": self._get_ipython, "matplotlib": after_matplotlib, "tqdm.std": after_tqdm},
        ).install()

    def _get_ipython(self) -> Any:
        """Make a shell when the cell first asks for one; until then IPython is not imported."""
        from IPython.core.interactiveshell import InteractiveShell

        if not InteractiveShell.initialized():
            from .shell import make

            known = set(self.namespace)
            self.shell = make(self.main, self.recorder, self.cell_file, self.spec)
            self.shell_names = set(self.namespace) - known
        return InteractiveShell.instance()

    def _display(self, *objects: Any, **options: Any) -> Any:
        self._get_ipython()
        from IPython.display import display

        return display(*objects, **options)  # type: ignore[no-untyped-call]

    # ---- running

    def import_ahead(self) -> None:
        """Import what the cell imports before it does anything else, so that the tasks of a sweep need not, each of them.

        What cannot be imported the cell will tell.
        """
        for statement in self._parsed().body:
            names = []
            if isinstance(statement, ast.Import):
                names = [each.name for each in statement.names]
            elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
                names = [statement.module]
            if not names:
                return
            _import_if_there(names)

    def import_for_errors(self) -> None:
        """Import what it takes to write an exception down: where one task of a sweep has failed others will, too."""
        _import_if_there(("traceback", "persist_magic.capture._dill"))

    def _parsed(self) -> ast.Module:
        # cell.py holds a comment line above the cell, so its numbers are the notebook's
        return ast.parse("\n" + self.spec.code, self.cell_file, feature_version=sys.version_info[:2])

    def compiled(self) -> tuple[types.CodeType, types.CodeType | None]:
        """Return the cell's statements, and its last one apart if it is an expression."""
        tree = self._parsed()
        last: ast.Expr | None = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = tree.body.pop()  # type: ignore[assignment]
        flags = self.spec.future_flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.quiet = last is None or _is_quiet(last, self.spec.code)
        body = compile(tree, self.cell_file, "exec", flags, dont_inherit=True)
        expression = None
        if last is not None:
            flags |= body.co_flags & _future_mask()
            expression = compile(ast.Expression(last.value), self.cell_file, "eval", flags, dont_inherit=True)
        return body, expression

    def run_cell(self, body: types.CodeType, expression: types.CodeType | None) -> Any:
        """Run the statements; return the value of the last one if it is an expression."""
        run = self._runner(body, expression)
        run(body)
        return run(expression) if expression is not None else None

    def _runner(self, body: types.CodeType, expression: types.CodeType | None) -> Callable[[types.CodeType], Any]:
        """How to run code: as it is, or on an event loop if it awaits at top level."""
        if not any(code is not None and code.co_flags & _CO_COROUTINE for code in (body, expression)):
            return lambda code: eval(code, self.namespace)
        import asyncio

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)

        def run(code: types.CodeType) -> Any:
            if not code.co_flags & _CO_COROUTINE:
                return eval(code, self.namespace)
            task = loop.create_task(eval(code, self.namespace))
            try:
                return loop.run_until_complete(task)
            except KeyboardInterrupt:
                task.cancel()  # so that its finally run
                with contextlib.suppress(asyncio.CancelledError):
                    loop.run_until_complete(task)
                raise

        return run

    # ---- showing

    @contextlib.contextmanager
    def _of_result(self) -> Iterator[None]:
        with contextlib.suppress(OSError):  # a full disk: what is written after it matters more
            self.recorder.record("result", begins=True)
        yield
        with contextlib.suppress(OSError):
            self.recorder.record("result", begins=False)

    def _show_result(self, value: Any) -> bool:
        """Record the value of the last expression as a notebook shows it, so that it is seen without being loaded.

        Returns
        -------
        bool
            True if that is left to those who look: plain data is seen by its repr alone, which only IPython lays out.
        """
        if value is None or self.quiet or self.run_directory.rank:
            return False
        if self.shell is None and is_plain(value):
            return True
        with self._of_result():
            try:
                text = own_text(value) if self.shell is None else None
                data, metadata = {"text/plain": text}, {}
                if text is None:
                    data, metadata = self._get_ipython().display_formatter.format(value)
                if data:  # else the value has displayed itself
                    self.recorder.record("execute_result", data=data, metadata=metadata)
            except Exception as problem:  # noqa: BLE001  the cell has come to its end, and its value is what it is
                print(f"persist_magic: the result could not be shown: {_one_line(problem)}", file=sys.stderr)
        return False

    def words(self, error: BaseException) -> tuple[str, str]:
        """Return one line, and the traceback from the cell's line inwards."""
        import traceback

        trace = self._cells_trace(error)
        if trace is None and isinstance(error, PersistError):
            return str(error), ""  # ours, before the cell began: its own words say it all
        return _one_line(error), "".join(traceback.format_exception(type(error), error, trace or error.__traceback__))

    def _cells_trace(self, error: BaseException) -> types.TracebackType | None:
        """The frames from the cell's line inwards, without those of ours; None if the cell had not begun."""
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != self.cell_file:
            trace = trace.tb_next
        if self.spec.kind == "function" and trace is not None and trace.tb_next is not None:
            trace = trace.tb_next  # the first frame is our call of the function, and no line of its source
        ours, frames = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep, []
        while trace is not None:
            if not trace.tb_frame.f_code.co_filename.startswith(ours):
                frames.append(trace)
            trace = trace.tb_next
        for each in reversed(frames):
            trace = types.TracebackType(trace, each.tb_frame, each.tb_lasti, each.tb_lineno)
        return trace

    def _show_error(self, error: BaseException, text: str) -> None:
        """Record the error as IPython shows one; and as plain text for those who read stderr."""
        lines = text.splitlines()
        trace = self._cells_trace(error)
        if trace is not None and self.at_ease and not isinstance(error, KeyboardInterrupt):  # then there is little time
            try:
                lines = self._get_ipython().traceback_lines(error, trace)
            except BaseException as problem:  # noqa: BLE001  a cancel, too: the plain text tells the same, and there is more to write
                text += f"(IPython could not show it: {_one_line(problem)})\n"
        self.recorder.record_error(error, lines, text)

    def _show_figures(self) -> None:
        """Let the figures that are open be displayed, as at the end of a notebook's cell."""
        if self.shell is not None and os.getpid() == self.pid:
            self.shell.events.trigger("post_execute")

    def _close_progress(self) -> None:
        progress: Any = sys.modules.get(f"{__package__}.progress")
        if progress is not None:
            progress.board_of(self.run_directory).close()

    # ---- handing over

    def _hand_over(self, cell: CellEnd, before: dict[str, int]) -> int:
        reopen_standard_descriptors()
        self.run_directory.follow()
        from .values import ValueFile

        kept_error: KeptValue | None = None
        kept_result: KeptValue | None = None
        variables: dict[str, KeptValue] = {}
        lost = ""

        def write_outcome() -> str:
            record = self.outcome(cell, lost, kept_error, kept_result, variables)
            write_atomic(self.run_directory.outcome_path, record.to_bytes())
            return record.outcome

        if self.run_directory.rank:  # rank 0 speaks for the run
            if write_outcome() != "done":
                _abort_other_ranks()
            return 0 if cell.outcome == "done" else 1
        try:
            with ValueFile(self.run_directory.values_path, self.namespace) as values:
                kept_error, kept_result = values.keep_end(cell.error, cell.result, cell.outcome == "done")
                for name in self._variables(before):
                    variables[name] = values.keep(name, self.namespace[name])
                lost = values.lost_words()
            end = write_outcome()
        except (
            OSError
        ) as problem:  # there is no room for what it kept, or for the record of it: for the record there must be
            lost = f"its values could not be written: {problem.strerror or problem}"
            kept_error, kept_result, variables = None, None, {}
            ValueFile.discard(self.run_directory.values_path)
            end = write_outcome()
        if end != "done":
            _abort_other_ranks()
        return 0 if end == "done" else 1

    def outcome(
        self,
        cell: CellEnd,
        lost: str,
        error: KeptValue | None,
        result: KeptValue | None,
        variables: dict[str, KeptValue],
    ) -> Outcome:
        """Return the record of an end; `lost` says what the disk did not take."""
        end = "failed" if lost else cell.outcome
        words = "; ".join(filter(None, (cell.reason if cell.outcome == end else "", lost)))
        plain = self.result_is_plain
        return Outcome(self.spec.token, time.time(), end, words, cell.traceback, error, result, variables, plain)

    def _variables(self, before: dict[str, int]) -> list[str]:
        """The names that the cell assigned, or whose value it changed in place."""
        if self.spec.kind == "function":
            return []
        ignored = _NOT_VARIABLES | self.shell_names
        names = [
            name
            for name, value in self.namespace.items()
            if name not in ignored and not (name.startswith("__") and name.endswith("__")) and id(value) != before.get(name)
        ]
        from .values import changed_in_place

        return names + [name for name in changed_in_place(self.spec, before, self.namespace) if name not in names]


def _import_if_there(names: Iterable[str]) -> None:
    import importlib

    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _lay_path(entries: tuple[str, ...]) -> None:
    """Give the cell the session's sys.path."""
    known = set(sys.path)
    sys.path[:] = entries
    import site

    user_site = site.getusersitepackages() if site.ENABLE_USER_SITE else None
    if user_site and user_site not in known and user_site in entries:
        site.addsitedir(user_site)  # its .pth files may install import hooks


def _future_mask() -> int:
    import __future__

    return sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


def _abort_other_ranks() -> None:
    """End an MPI program of which one rank has failed: the others may wait for it for ever, and so would MPI_Finalize."""
    mpi: Any = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized() and mpi.COMM_WORLD.size > 1:
        _flush()
        mpi.COMM_WORLD.Abort(1)


def reopen_standard_descriptors() -> None:
    """Let no file of ours get the number of a standard stream that the cell closed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)


def _exit_code(error: BaseException | None, outcome: str) -> int:
    """What a forked child of the cell exits with, as Python's own end would."""
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code & 0xFF
    return 0 if outcome == "done" else 1


def _exit_words(leaving: SystemExit) -> tuple[str, str]:
    if leaving.code is None or leaving.code == 0:
        return "done", "the cell left by sys.exit(), so it has no result"
    return "failed", f"the cell left by sys.exit({leaving.code!r:.100})"


def _is_quiet(last: ast.Expr, code: str) -> bool:
    """Whether a semicolon follows the last expression, which tells a notebook not to show it."""
    lines = code.splitlines()
    line = lines[(last.end_lineno or 1) - 2]  # the code is parsed below an empty line
    return line.encode()[last.end_col_offset or 0 :].lstrip().startswith(b";")


_SCALARS = {int, float, complex, bool, str, bytes, type(None)}
_CONTAINERS = {list, tuple, dict, set, frozenset}
_MOST_CONTAINERS = 1000


def is_plain(value: Any) -> bool:
    """Return whether a value is of built-in types through and through, so that whoever loads it runs nobody's code.

    False too if it holds more containers than are worth a look.
    """
    waiting, seen = [value], 0
    while waiting:
        each = waiting.pop()
        if type(each) in _SCALARS:
            continue
        seen += 1
        if type(each) not in _CONTAINERS or seen > _MOST_CONTAINERS:
            return False
        for part in (each, each.values()) if type(each) is dict else (each,):
            if not set(map(type, part)) <= _SCALARS:
                waiting += part
    return True


_RICH = (
    *(
        f"_repr_{form}_"
        for form in ("html", "pretty", "png", "jpeg", "svg", "latex", "markdown", "json", "javascript", "pdf")
    ),
    "_repr_mimebundle_",
    "_ipython_display_",
)


def own_text(value: Any) -> str | None:
    """Return the text of a value that has no form but its repr, or None if IPython must be asked.

    That it must for what it lays out by itself: subclasses of containers, exceptions, functions, classes, and objects
    without a repr of their own.
    """
    kind = type(value)
    laid_out = isinstance(value, (list, tuple, dict, set, frozenset, type, BaseException))
    if laid_out or kind.__repr__ is vars(object)["__repr__"] or kind.__module__ in ("builtins", "types"):
        return None
    try:
        return None if any(hasattr(value, name) for name in _RICH) else repr(value)
    except Exception:  # noqa: BLE001  IPython tells of it as in a session
        return None


def _one_line(error: BaseException) -> str:
    name = type(error).__qualname__
    text = " ".join(safe_str(error).split())
    return f"{name}: {text[:300]}" if text else name


def _flush() -> None:
    streams: tuple[Any, ...] = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    for stream in streams:
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed or replaced by the cell: nothing of ours is in it
            continue
