"""From a cell, or a function call, and a namespace to a payload.

Owns the order of things: needed names, then pickling, then the fingerprint, and the errors that name the culprit.
Knows nothing of where the payload lies: it is given paths.
"""

from __future__ import annotations

import ast
import contextlib
import numbers
import os
import re
import sys
import types
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..digests import text_digest
from ..each import CALL, EACH
from ..errors import CaptureError, MissingNames, Unpicklable
from ..store import CapturedName, LocalModule, Payload, create_file, sync_file
from . import explain, names
from .bytecode import code_binds, code_globals
from .explain import is_a
from .library import home_of
from .modules import local_modules
from .payload import BufferFile, CannotPickle, PayloadWriter, deeply, write_names
from .pickler import Reducer, asked_by, importable

if TYPE_CHECKING:
    from ..each import Axis

_SYSTEM_NAMES = frozenset(
    {"__name__", "__doc__", "__builtins__", "__builtin__", "__package__", "__loader__", "__spec__", "__annotations__"}
)
_CONTAINERS = (list, tuple, dict, set, frozenset, str, bytes, bytearray)
_LABEL = 40
_LARGE_CONTAINER = 1000
"""Containers with so many elements are written before those that may be small."""
_SHELL_NAMES = frozenset({"get_ipython", "exit", "quit", "open", "display"})


@dataclass(frozen=True)
class Source:
    """What is to run.

    Attributes
    ----------
    kind : str
        "cell" or "function".
    text : str
        As written, for people.
    code : str
        Python, IPython's syntax translated.
    future_flags : int
        The session's ``from __future__`` compiler flags.
    extensions : tuple of str
        IPython extensions that the session has loaded.
    """

    kind: str
    text: str
    code: str
    future_flags: int = 0
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """What to take besides and what to leave out: ``--with`` and ``--without``."""

    add: tuple[str, ...] = ()
    omit: tuple[str, ...] = ()


@dataclass(frozen=True)
class Capture:
    """What was captured.

    Attributes
    ----------
    fingerprint : str
        Equal for an identical cell with identical inputs.
    """

    names: tuple[CapturedName, ...]
    payload: Payload
    modules: tuple[LocalModule, ...]
    cell_digest: str
    fingerprint: str
    warnings: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes written."""
        buffers: set[tuple[int, int]] = {(offset, length) for offset, length, _ in self.payload.buffers}
        return self.payload.size + sum(length for _, length in buffers)


def capture(
    job: str,
    source: Source,
    namespace: dict[str, Any],
    selection: Selection,
    path: str | None,
    buffers: str | None,
    call: tuple[Any, tuple[Any, ...], dict[str, Any]] | None = None,
    each: Sequence[Axis] = (),
) -> Capture:
    """Write what a cell needs.

    Parameters
    ----------
    job : str
        For messages.
    namespace : dict
        The session's globals.
    path, buffers : str or None
        The files to write, which must not exist; None only measures and fingerprints.
    call : (function, args, kwargs), optional
        Instead of a cell's globals: what to call.
    each : sequence of (names, values)
        Of a sweep: what its tasks are given; these names need not be there.

    Raises
    ------
    MissingNames
        If the cell reads names that do not exist.
    Unpicklable
        If something it needs cannot be written.
    CaptureError
        If the cell is no valid Python.
    """
    given = {name for names, _ in each for name in names}
    system = _provided_names(namespace) | given
    warnings: list[str] = []
    items: list[tuple[str, Any, str]] = []
    attributes: set[str] = set()
    imports: set[str] = set()
    wanted: dict[str, str] = {}
    if call is None:
        needs = _needs(job, source, namespace.keys() - system, _windows(namespace))
        missing = [name for name in needs.missing if name not in selection.omit and name not in given]
        missing += [name for name in selection.add if name not in namespace]
        wanted = dict.fromkeys((*needs.names, *needs.mentioned, *selection.add), "cell")
        if missing and (missing := [name for name in missing if name not in _bound_by(wanted, namespace)]):
            raise MissingNames(job, tuple(dict.fromkeys(missing)))
        attributes, imports, warnings = needs.attributes, needs.imports, needs.warnings
    left_out = system | set(selection.omit)
    wanted |= _data_of_functions(wanted, call, namespace)
    for name in sorted(wanted.keys() - left_out, key=lambda name: _rank(name, namespace[name])):
        items.append((name, namespace[name], wanted[name]))
    if call is not None:
        items.append((CALL, call, ""))
    if each:  # behind modules, before all that a session need not restore to know the values
        at = next((at for at, (_, value, _) in enumerate(items) if not is_a(value, types.ModuleType)), len(items))
        items.insert(at, (EACH, list(each), ""))

    def write(deep: bool) -> tuple[dict[str, tuple[int, str, str]], Payload, Reducer]:
        for left in (path, buffers):  # of an attempt that met too deep a nesting
            if left is not None and os.path.lexists(left):
                os.unlink(left)
        opened = create_file(path) if path is not None else contextlib.nullcontext()
        with opened as file, contextlib.closing(BufferFile(buffers)) as buffer_file:
            values = {id(value) for _, value, _ in items}
            writer = PayloadWriter(file, buffer_file, namespace, wanted=values, digests=True, deep=deep)
            writer.reducer.attributes |= attributes
            written = write_names(writer, items, left_out)
            payload = writer.close()
            if file is not None:
                sync_file(file)
        return written, payload, writer.reducer

    try:
        written, payload, reducer = deeply(write)
    except CannotPickle as failure:
        raise _explained(job, failure.error, items, namespace) from failure.error
    special = {CALL: call, EACH: list(each)}
    captured = tuple(_describe(name, special.get(name, namespace.get(name)), *facts) for name, facts in written.items())
    modules = tuple(local_modules(imports | reducer.modules | reducer.imports))
    if edited := [each.name for each in modules if each.edited]:
        warnings.append(f"edited since imported here: {', '.join(edited)}; the job imports the files as they are now")
    warnings += reducer.remarks()
    digests = [(each.name, each.digest) for each in captured] + [(each.name, each.digest) for each in modules]
    inputs = [f"{name}={digest}" for name, digest in digests if digest]
    cell = cell_digest(source)
    fingerprint = text_digest(cell, *inputs)
    return Capture(captured, payload, modules, cell, fingerprint, tuple(dict.fromkeys(warnings)))


def cell_digest(source: Source) -> str:
    """Return the same for cells that do the same, whatever their inputs."""
    return text_digest(source.kind, source.code.strip(), str(source.future_flags))


def _windows(namespace: dict[str, Any]) -> set[str]:
    """The names that are bound to the session's globals or to the module whose globals they are."""
    module = sys.modules.get("__main__")
    whole = {id(namespace), id(module)} if getattr(module, "__dict__", None) is namespace else {id(namespace)}
    return {name for name, value in namespace.items() if id(value) in whole}


def _needs(job: str, source: Source, known: Collection[str], windows: Collection[str]) -> names.Needs:
    """What the cell reads; its lines are counted with the magic's, as the notebook shows them."""
    code = "\n" + source.code
    try:
        compile(code, "<cell>", "exec", source.future_flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        return deeply(lambda deep: names.needed_names(code, known, source.future_flags, windows))
    except (SyntaxError, ValueError, RecursionError) as error:
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
        raise CaptureError(f"job {job} not submitted: the cell is no valid Python, {where}") from None


def _rank(name: str, value: Any) -> tuple[int, str]:
    """Functions last: what stands in the stream before the functions that use it has a size and a digest of its own.

    Modules first: functions of a module made at run time must find it. Then large data within the stream, whose digest
    depends on what stands before it; then what may have buffers of its own.
    """
    kind = type(value)
    if is_a(value, types.ModuleType):
        return 0, name
    if is_a(value, (types.FunctionType, type)):
        return 5, name
    if home_of(kind) == "__main__":
        return 4, name
    if kind in _CONTAINERS:
        return 1 if len(value) > _LARGE_CONTAINER else 3, name
    return 2 if home_of(kind) != "builtins" else 3, name


def _data_of_functions(names: Iterable[str], call: Any, namespace: dict[str, Any]) -> dict[str, str]:
    """The data among the globals that the session's functions and classes use, with who uses it.

    Only for the account: the pickler finds all of them by itself, wherever the functions hide.
    """
    askers = dict.fromkeys(names, "cell")
    data: dict[str, str] = {}
    for function, found_in in _functions(names, call, namespace):
        asker = asked_by(function, namespace, askers, found_in)
        for name in code_globals(function.__code__):
            if name in namespace and name not in askers:
                askers[name] = asker
                if not is_a(namespace[name], (types.FunctionType, types.ModuleType, type)):
                    data[name] = asker
    return data


def _bound_by(names: Iterable[str], namespace: dict[str, Any]) -> set[str]:
    """The globals that functions of the session bind when the cell calls them."""
    return {name for function, _ in _functions(names, None, namespace) for name in code_binds(function.__code__)}


def _functions(names: Iterable[str], call: Any, namespace: dict[str, Any]) -> Iterator[tuple[types.FunctionType, str]]:
    """The session's functions that names lead to, through classes and functions, each with the global it was met in."""
    seen: set[int] = set()
    waiting: list[tuple[Any, str]] = [(namespace[name], name) for name in names if name in namespace]
    waiting += [(call[0], "")] if call is not None else []
    while waiting:
        value, found_in = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if is_a(value, type):
            if not importable(value):
                waiting += [(each, found_in) for each in vars(value).values() if isinstance(each, types.FunctionType)]
        elif not is_a(value, types.FunctionType):
            waiting.append((type(value), found_in))
        elif value.__globals__ is namespace:
            yield value, found_in
            waiting += [(namespace[name], name) for name in code_globals(value.__code__) if name in namespace]


def _provided_names(namespace: dict[str, Any]) -> set[str]:
    """Names that the worker has of its own: what Python puts into every module, and IPython into its session."""
    shell = {name for name in _SHELL_NAMES & namespace.keys() if _home(namespace[name]).startswith(("IPython", "ipykernel"))}
    return set(_SYSTEM_NAMES) | shell


def _home(function: Any) -> str:
    """The module whose globals a function uses; it may wrap another's name (IPython's ``open`` says that it is io's)."""
    namespace = getattr(function, "__globals__", None)
    found = namespace.get("__name__") if isinstance(namespace, dict) else getattr(function, "__module__", "")
    return str(found)


def _describe(name: str, value: Any, size: int, digest: str, asked_by: str) -> CapturedName:
    if name == EACH:
        return CapturedName(
            name, f"values of {', '.join(name for names, _ in value for name in names)}", "", size, digest, ""
        )
    return CapturedName(name, explain.type_name(value), explain.detail(value), size, digest, asked_by)


def _explained(
    job: str, error: BaseException, items: Sequence[tuple[str, Any, str]], namespace: dict[str, Any]
) -> CaptureError:
    """The same failure with the path to the culprit, found by pickling again with the names of objects in view."""
    for name, value, _ in items:
        found = explain.find_culprit(name, value, namespace)
        if found is not None:
            if name == CALL:
                return Unpicklable(job, "", _call_path(found.path, value[0]), found.reason, found.advice)
            if name == EACH:
                path = _each_path(found.path, value)
                return Unpicklable(job, "", path, found.reason, found.advice or "let --each give what it is made from")
            return Unpicklable(job, name, found.path, found.reason, found.advice)
    return Unpicklable(job, items[0][0] if items else "", "one of its names", explain.reason_of(error), "")


def _call_path(path: str, function: Any) -> str:
    """The path in the words of a call: "args[0]", "kwargs['x']", or the function's name."""
    parts = {"[0]": getattr(function, "__qualname__", "function"), "[1]": "args", "[2]": "kwargs"}
    rest = path.removeprefix(CALL)
    return parts.get(rest[:3], "call") + rest[3:]


def _each_path(path: str, axes: Sequence[Axis]) -> str:
    """The path in the words of ``--each``: "--each model: value 3.lock"."""
    match = re.match(r"\[(\d+)\]\[1\]\[(\d+)\]", path.removeprefix(EACH))
    if match is None:
        return "--each"
    return f"--each {','.join(axes[int(match[1])][0])}: value {match[2]}{path.removeprefix(EACH)[match.end() :]}"


def label(names: Sequence[str], value: Any) -> str:
    """Return what a task is given along an axis, in words: "alpha=0.001"."""
    parts = value if len(names) > 1 else (value,)
    return ", ".join(f"{name}={_short(part)}" for name, part in zip(names, parts, strict=True))


def _short(value: Any) -> str:
    """A value in at most 40 characters; of numbers the digits that tell them apart."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, numbers.Rational)):
        return f"{float(value):.6g}"
    text = explain.shown(value)
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"


def function_text(function: Any) -> str:
    """Return a function's source, or a line that names it."""
    import inspect

    try:
        return inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError):
        kind = "function" if isinstance(function, types.FunctionType) else type(function).__name__
        return f"# {kind} {getattr(function, '__qualname__', repr(function))}: its source is not known\n"
