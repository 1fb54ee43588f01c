"""What the tasks of a sweep are given: the axes of ``--each``, and their product.

Owns how an axis is written in a line and evaluated, which task has which values, and how a set of tasks is written. Standard
library only: the worker deals out the values. Knows nothing of jobs.

The order is that of nested loops, the first axis being the outermost: the last one changes from task to task.
"""

from __future__ import annotations

import itertools
import keyword
import math
import re

from .errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Protocol, TypeVar

    class Request(Protocol):
        """See `store.CancelRequest`."""

        @property
        def tasks(self) -> str: ...

        @property
        def force(self) -> bool: ...

    R = TypeVar("R", bound=Request)

    Axis = tuple[tuple[str, ...], list[Any]]
    """Names, and what they are given, one value for each task along this axis; a tuple of values for several names."""

CALL = "__persist_call__"
"""The global through which a persisted function and its arguments reach the worker."""
EACH = "__persist_each__"
"""The global through which the axes reach the worker."""
VALUE = "__persist_each_"
"""What stands before the name of a value that a persisted function is called with."""
MOST_TASKS = 1_000_000

_OPTION = re.compile(r"(?:^|(?<=\s))(?:--each(?P<equals>=|\s+|$)|--(?=\s|$))")
_NAMED = re.compile(r"\s*([^=]+?)\s*=(?!=)\s*(.*)", re.DOTALL)
_NEXT_OPTION = re.compile(r"\s+--(?=\s|$|[A-Za-z])")


# ---------------------------------------------------------------- in a line


def split_line(line: str) -> tuple[str, list[str]]:
    """Take the values of ``--each`` out of a magic's line, which are Python and may hold spaces and quotes.

    Returns
    -------
    rest : str
        The line without them.
    each : list of str
        "alpha=np.logspace(-4, 0, 200)".

    Raises
    ------
    UsageError
        If what follows ``--each`` is none.
    """
    rest, found = "", []
    while (option := _OPTION.search(line)) is not None and option["equals"] is not None:
        text, after = _take(line[option.end() :])
        found.append(text)
        rest, line = f"{rest}{line[: option.start()]}", after
    return rest + line, found


def _take(text: str) -> tuple[str, str]:
    """The axis at the beginning of a text, and what stands after it: up to an option, the longest piece that is Python."""
    text = text.lstrip()
    if text[:1] in ("'", '"'):  # as for a shell
        end = text.find(text[0], 1)
        if end > 0 and (end + 1 == len(text) or text[end + 1].isspace()):
            parse(text[1:end])
            return text[1:end], text[end + 1 :]
    ends = list(_ends(text))
    for end in reversed(ends):
        try:
            parse(text[:end])
        except UsageError:
            continue
        return text[:end].strip(), text[end:]
    parse(text[: ends[-1]])  # raises
    raise AssertionError("unreachable")


def _ends(text: str) -> Iterable[int]:
    """Where an expression may end: at spaces outside of brackets and strings, up to the next option."""
    depth, quote, at = 0, "", 0
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char.isspace() and depth <= 0:
            yield at
            if _NEXT_OPTION.match(text, at):
                return
        at += 1
    yield len(text)


def parse(text: str) -> tuple[tuple[str, ...], str]:
    """Return names and expression of "a, b=zip(xs, ys)".

    Raises
    ------
    UsageError
        If it is not of that form.
    """
    match = _NAMED.fullmatch(text)
    names = tuple(name.strip() for name in match[1].strip("()").split(",") if name.strip()) if match else ()
    if match is None or not names:
        raise UsageError(f"--each takes NAME=EXPRESSION, as in --each alpha=np.logspace(-4, 0, 200), not {text.strip()!r}")
    _check_names(names)
    try:
        compile(match[2].strip(), "<--each>", "eval", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise UsageError(
            f"--each {','.join(names)}: {match[2].strip()!r} is no Python expression: {getattr(error, 'msg', error)}"
        ) from None
    return names, match[2].strip()


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        named = isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)
        if not named or (name.startswith("__") and name.endswith("__")):
            raise UsageError(f"--each: {name!r} is no name for a variable")
    if len(set(names)) < len(names):
        raise UsageError(f"--each {','.join(names)}: a name stands twice")


def evaluate(texts: Iterable[str], namespace: dict[str, Any]) -> list[Axis]:
    """Evaluate what ``--each`` was given, in a session.

    Raises
    ------
    UsageError
        If an expression fails, or gives what cannot be dealt out.
    """
    axes = []
    for text in texts:
        names, expression = parse(text)
        try:
            values = eval(compile(expression, "<--each>", "eval", dont_inherit=True), namespace)
        except Exception as error:
            raise UsageError(f"--each {','.join(names)}={expression}: {type(error).__name__}: {error}") from error
        axes.append((names, values))
    return checked(axes)


def checked(axes: Sequence[tuple[tuple[str, ...], Any]]) -> list[Axis]:
    """Return axes with their values as lists.

    Raises
    ------
    UsageError
        If values cannot be iterated over, are none or too many, or do not fit their names; or if names stand twice.
    """
    made: list[Axis] = []
    seen: set[str] = set()
    for names, values in axes:
        _check_names(names)
        what = f"--each {','.join(names)}"
        if twice := seen.intersection(names):
            raise UsageError(f"--each: {', '.join(sorted(twice))} is given twice")
        seen.update(names)
        if isinstance(values, (str, bytes)):
            raise UsageError(f"{what}: a text is one value; write a list, as in {names[0]}=[{values!r:.40}]")
        try:
            listed = list(itertools.islice(values, MOST_TASKS + 1))
        except Exception as error:
            raise UsageError(f"{what}: its values cannot be listed: {type(error).__name__}: {error}") from error
        if not listed:
            raise UsageError(f"{what}: there are no values")
        made.append((names, [_unpacked(names, value, at) for at, value in enumerate(listed)] if len(names) > 1 else listed))
    if math.prod(len(values) for _, values in made) > MOST_TASKS:
        raise UsageError(f"--each: more than {MOST_TASKS:,} tasks; let a task do more")
    return made


def _unpacked(names: tuple[str, ...], value: Any, at: int) -> tuple[Any, ...]:
    what = f"--each {','.join(names)}: value {at}"
    try:
        parts = tuple(value)
    except Exception as error:
        raise UsageError(f"{what} cannot be unpacked: {type(error).__name__}: {error}") from error
    if len(parts) != len(names):
        raise UsageError(f"{what} has {len(parts)} parts for {len(names)} names")
    return parts


# ---------------------------------------------------------------- the product


def places(index: int, lengths: Sequence[int]) -> list[int]:
    """Return where on each axis a task stands."""
    found = []
    for length in reversed(lengths):
        index, place = divmod(index, length)
        found.append(place)
    return found[::-1]


def bindings(axes: Sequence[Axis], index: int) -> dict[str, Any]:
    """Return the names that a task is given, with their values."""
    bound: dict[str, Any] = {}
    for (names, values), place in zip(axes, places(index, [len(values) for _, values in axes]), strict=True):
        value = values[place]
        bound.update(zip(names, value, strict=True) if len(names) > 1 else ((names[0], value),))
    return bound


# ---------------------------------------------------------------- sets of tasks


def written(tasks: Iterable[int]) -> str:
    """Return a set of tasks as text: "3,7,19-40"."""
    parts = []
    for _, group in itertools.groupby(enumerate(sorted(set(tasks))), lambda pair: pair[1] - pair[0]):
        run = [task for _, task in group]
        parts.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}")
    return ",".join(parts)


def read(text: str) -> list[int]:
    """Return the set of tasks that a text names, in order.

    Raises
    ------
    ValueError
        If it names none.
    """
    found: set[int] = set()
    left = MOST_TASKS
    for part in filter(None, text.replace(" ", "").split(",")):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        some = range(int(match[1]), int(match[2] or match[1]) + 1) if match is not None else range(0)
        left -= len(some)
        if match is None or left < 0:
            raise ValueError(f"{part!r:.60} names no tasks; write them as 3,7,19-40")
        found.update(some)
    if not found:
        raise ValueError("no tasks are named; write them as 3,7,19-40")
    return sorted(found)


def cancelled(requests: Iterable[R]) -> dict[int, R]:
    """Return for each task whose end has been asked for by whom: the first to ask, or to ask for its end at once.

    Parameters
    ----------
    requests : iterable of CancelRequest
        In order.

    Raises
    ------
    ValueError
        If one of them names no tasks.
    """
    found: dict[int, R] = {}
    for request in requests:
        for task in read(request.tasks):
            if task not in found or (request.force and not found[task].force):
                found[task] = request
    return found
