"""The child: restores the capture into a fresh ``__main__``, runs the cell, writes what came of it.

Owns the cell's world (streams, directory, sys.path, ``__main__``), its execution with the value of the last expression,
and the outcome record with result and variables. Standard library only until the cell or its values ask for more.
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
from collections.abc import Callable, Iterable

from ..errors import PersistError
from ..restore import read_session, restore_session
from ..store import JobDirectory, JobSpec, KeptValue, Outcome, RunDirectory, write_atomic
from .supervisor import EXIT_NOT_WRITTEN, STOP_RANK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE; inspect itself is slow to import
_NOT_VARIABLES = frozenset({"_", "__", "___", "_exit_code"})


def run_child(job: JobDirectory, run: RunDirectory, spec: JobSpec, blocked: Iterable[int]) -> NoReturn:
    """Be the child: never returns into the supervisor's code."""
    code = EXIT_NOT_WRITTEN
    try:
        _redirect(run)
        _handle_signals(blocked)
        code = _Execution(job, run, spec).run()
    except BaseException:  # noqa: BLE001  there is nobody left to tell but stderr
        import traceback

        traceback.print_exc()
    _finish()
    os._exit(code)


def _finish() -> None:
    """What ends an interpreter: threads are waited for, atexit functions run.

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


def _redirect(run: RunDirectory) -> None:
    """Let file descriptors 0 to 2, and so the cell's own children, use /dev/null and the run's files."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, path in ((1, run.stdout_path), (2, run.stderr_path)):
        descriptor = os.open(path, flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    # line buffered: the log is live
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def _handle_signals(blocked: Iterable[int]) -> None:
    import faulthandler

    told = False

    def interrupt(number: int, frame: object) -> None:
        """A cancel: the cell sees KeyboardInterrupt, so that its ``finally`` run; once, since a scheduler tells it too."""
        nonlocal told
        if not told:
            told = True
            raise KeyboardInterrupt

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


class _Execution:
    """One execution of a cell."""

    def __init__(self, job: JobDirectory, run: RunDirectory, spec: JobSpec) -> None:
        self.job, self.run_directory, self.spec = job, run, spec
        self.main = types.ModuleType("__main__")
        self.namespace = self.main.__dict__
        self.namespace["__builtins__"] = builtins
        self.shell_names: set[str] = set()
        self.pid = os.getpid()
        self.own_path = list(sys.path)

    def run(self) -> int:
        outcome, reason, trace = "done", "", ""
        result: Any = None
        error: BaseException | None = None
        before: dict[str, int] = {}
        try:
            self._lay_world()
            # Data by its ids: what the cell deletes is to be gone. Another object that gets the id is told by its digest
            before = {name: id(value) for name, value in self.namespace.items()}
            kinds = types.FunctionType, types.ModuleType, type
            self.kept_alive = [value for value in self.namespace.values() if issubclass(type(value), kinds)]
            result = self._run_cell()
        except SystemExit as leaving:
            outcome, reason = _exit_words(leaving)
            error = leaving if outcome == "failed" else None
        except BaseException as raised:  # noqa: BLE001  whatever ends the cell is its outcome
            error = raised
        self._own_path_first()
        if error is not None and outcome == "done":
            outcome, (reason, trace) = "failed", self._words(error)
            _print_error(trace)
        _flush()
        if os.getpid() != self.pid:  # a child that the cell forked and let run out of it
            _finish()
            os._exit(_exit_code(error, outcome))
        return self._hand_over(outcome, reason, trace, error, result, before)

    def _own_path_first(self) -> None:
        """Let no ``traceback.py`` beside the notebook shadow what the worker imports from now on."""
        sys.path[:] = [*self.own_path, *sys.path]

    # ---- the cell's world

    def _lay_world(self) -> None:
        spec = self.spec
        os.environ.update({name: str(value) for name, value in spec.environment.items()})
        try:
            os.chdir(spec.cwd)
        except OSError as error:
            raise FileNotFoundError(f"the session's directory {spec.cwd!r} cannot be entered: {error.strerror}") from None
        captured = read_session(self.job, spec.payload)  # while nothing of the session's can shadow what that needs
        _lay_path((self.job.modules_path, *spec.sys_path) if spec.snapshot else spec.sys_path)
        sys.argv = [self.job.cell_path]
        sys.modules["__main__"] = self.main
        builtins.get_ipython = self._get_ipython  # type: ignore[attr-defined]
        builtins.display = self._display  # type: ignore[attr-defined]
        restore_session(captured, self.namespace)

    def _get_ipython(self) -> Any:
        """Make a shell when the cell first asks for one; until then IPython is not imported."""
        from IPython.core.interactiveshell import InteractiveShell

        if not InteractiveShell.initialized():
            from traitlets.config import Config

            config = Config()
            config.HistoryManager.enabled = False
            known = set(self.namespace)
            shell: Any = InteractiveShell.instance(
                user_module=self.main, user_ns=self.namespace, config=config, colors="nocolor"
            )
            self.shell_names = set(self.namespace) - known
            for extension in self.spec.extensions:
                try:
                    shell.extension_manager.load_extension(extension)
                except Exception as error:  # noqa: BLE001  the cell may not need it; then it must not fail for it
                    print(f"persist_magic: extension {extension} was not loaded: {error}", file=sys.stderr)
        return InteractiveShell.instance()

    def _display(self, *objects: Any, **options: Any) -> Any:
        self._get_ipython()
        from IPython.display import display

        return display(*objects, **options)  # type: ignore[no-untyped-call]

    # ---- running

    def _run_cell(self) -> Any:
        """Run the statements; return the value of the last one if it is an expression."""
        # cell.py holds a comment line above the cell, so its numbers are the notebook's
        tree = ast.parse("\n" + self.spec.code, self.job.cell_path, feature_version=sys.version_info[:2])
        last: ast.Expr | None = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = tree.body.pop()  # type: ignore[assignment]
        flags = self.spec.future_flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        body = compile(tree, self.job.cell_path, "exec", flags, dont_inherit=True)
        expression = None
        if last is not None:
            flags |= body.co_flags & _future_mask()
            expression = compile(ast.Expression(last.value), self.job.cell_path, "eval", flags, dont_inherit=True)
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

    def _words(self, error: BaseException) -> tuple[str, str]:
        """One line, and the traceback from the cell's line inwards."""
        import traceback

        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != self.job.cell_path:
            trace = trace.tb_next
        if trace is None and isinstance(error, PersistError):
            return str(error), ""  # ours, before the cell began: its own words say it all
        return _one_line(error), "".join(traceback.format_exception(type(error), error, trace or error.__traceback__))

    # ---- handing over

    def _hand_over(
        self, outcome: str, reason: str, trace: str, error: BaseException | None, result: Any, before: dict[str, int]
    ) -> int:
        _reopen_standard_descriptors()
        from .values import ValueFile

        kept_error: KeptValue | None = None
        kept_result: KeptValue | None = None
        variables: dict[str, KeptValue] = {}
        lost = ""

        def write_outcome() -> str:
            end = "failed" if lost else outcome
            words = "; ".join(filter(None, (reason if outcome == end else "", lost)))
            record = Outcome(self.spec.token, time.time(), end, words, trace, kept_error, kept_result, variables)
            write_atomic(self.run_directory.outcome_path, record.to_bytes())
            return end

        if self.run_directory.rank:  # rank 0 speaks for the run
            if write_outcome() != "done":
                _abort_other_ranks()
            return 0 if outcome == "done" else 1
        try:
            with ValueFile(self.run_directory.values_path, self.namespace) as values:
                if error is not None:
                    kept_error = values.keep("exception", error)
                    if kept_error.payload is None:  # perhaps for what led to it
                        error.__cause__ = error.__context__ = None
                        kept_error = values.keep("exception", error)
                elif outcome == "done":
                    kept_result = values.keep("result", result)
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


def _reopen_standard_descriptors() -> None:
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


def _one_line(error: BaseException) -> str:
    name = type(error).__qualname__
    try:
        text = " ".join(str(error).split())
    except Exception as trouble:  # noqa: BLE001  a user's __str__ may raise anything
        return f"{name} (its str() raised {type(trouble).__name__})"
    return f"{name}: {text[:300]}" if text else name


def _print_error(trace: str) -> None:
    try:
        print(trace, file=sys.stderr, end="")
    except (OSError, ValueError):  # the cell closed its stderr; the outcome record has the traceback too
        return


def _flush() -> None:
    streams: tuple[Any, ...] = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    for stream in streams:
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed or replaced by the cell: nothing of ours is in it
            continue
