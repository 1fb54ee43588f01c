"""What this session has decided and asked for: its root, and the cells that it has run under a name.

Owns `default_root`, and how what the session would submit now differs from what a job ran. Knows no states.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .each import CALL, EACH
from .store import JobSpec, Outcome

if TYPE_CHECKING:
    from .capture.cell import Capture, Selection, Source
    from .each import Axis

DEFAULT_ROOT = ".persist"
ROOT_VARIABLE = "PERSIST_ROOT"

_session_root: Callable[[], str] | None = None
_session_origin: Callable[[], str] | None = None


def default_root() -> str:
    """Return the root that is used where none is given: the session's setting, ``PERSIST_ROOT``, or ``.persist`` here."""
    if _session_root is not None:
        return _session_root()
    return os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT


def root_origin() -> str:
    """Return who chose what `default_root` returns, in words."""
    if _session_root is not None:
        return _session_origin() if _session_origin is not None else "the session's"
    return f"from ${ROOT_VARIABLE}" if os.environ.get(ROOT_VARIABLE) else f"the default: {DEFAULT_ROOT} in this directory"


def set_session_root(root: Callable[[], str] | None, origin: Callable[[], str] | None = None) -> None:
    """Let a session decide what `default_root` returns; it is asked each time, so that its setting takes effect at once.

    Parameters
    ----------
    root : callable or None
    origin : callable, optional
        Tells what `root_origin` returns.
    """
    global _session_root, _session_origin
    _session_root, _session_origin = root, origin


# ---------------------------------------------------------------- what it has asked for


@dataclass
class _Asked:
    """What this session last wanted to run under a name, and for a while how that differs from what the job ran."""

    source: Source
    selection: Selection
    namespace: dict[str, Any]
    each: Sequence[Axis] = ()
    answer: tuple[str, ...] = ()
    answer_until: float = 0.0  # on the monotonic clock


_asked: dict[str, _Asked] = {}  # by the path of the job directory

_COMPARED_BYTES = 10_000_000
_QUICK_SECONDS, _COMPARE_AGAIN = 0.2, 20.0
"""An answer that took more cpu time is kept for so many times that long."""
_OURS = {CALL: "the function or its arguments changed", EACH: "the values of --each changed"}


def remember(path: str, source: Source, selection: Selection, namespace: dict[str, Any], each: Sequence[Axis] = ()) -> None:
    """Remember what this session wants to run in a job directory; see `changes`."""
    _asked[path] = _Asked(source, selection, namespace, each)


def forget(path: str) -> None:
    """Forget what it wanted to run in a job directory that is gone."""
    _asked.pop(path, None)


def asked_names(root: str) -> list[str]:
    """Return the jobs of a root whose ``%%persist`` cells this session has run: those that `Job.staleness` speaks of."""
    return [os.path.basename(path) for path in list(_asked) if os.path.dirname(path) == root]


def changes(path: str, job: Callable[[], tuple[JobSpec, Outcome | None]]) -> tuple[str, ...]:
    """Return how what this session has asked for in a job directory differs from what the job ran; see `Job.staleness`.

    Parameters
    ----------
    job : callable
        Gives what the job is, and the record of how its cell ended, if it has; only called if the session has asked.
    """
    asked = _asked.get(path)
    if asked is None:
        return ()
    if time.monotonic() >= asked.answer_until:
        begin = time.thread_time()
        asked.answer = _changes(asked, *job())
        took = time.thread_time() - begin
        asked.answer_until = time.monotonic() + _COMPARE_AGAIN * took if took > _QUICK_SECONDS else 0.0
    return asked.answer


def _changes(asked: _Asked, spec: JobSpec, outcome: Outcome | None) -> tuple[str, ...]:
    from .capture.cell import capture, cell_digest

    if sum(each.size for each in spec.names) > _COMPARED_BYTES:
        return ("the cell changed",) if cell_digest(asked.source) != spec.cell_digest else ()
    try:
        captured = capture(spec.name, asked.source, asked.namespace, asked.selection, None, None, None, asked.each)
    except Exception:  # noqa: BLE001  what it needs is not there now, or will not be pickled: nothing can be said
        return ()
    return tuple(differences(spec, captured, outcome.variables if outcome is not None else ()))


def differences(spec: JobSpec, captured: Capture, ignored: Container[str] = ()) -> Iterator[str]:
    """Yield how what would be captured now differs from what a job ran, in words."""
    if spec.cell_digest != captured.cell_digest:
        yield "the cell changed"
    old = {each.name: each for each in spec.names}
    new = {each.name: each for each in captured.names}
    for name in sorted(old.keys() | new.keys()):
        if name in ignored:
            continue
        before, after = old.get(name), new.get(name)
        if name in _OURS and before is not None and after is not None:
            if before.digest != after.digest:
                yield _OURS[name]
            continue
        if name == EACH:
            yield "it was one cell" if before is None else "it was a sweep"
        elif before is None:
            yield f"{name} is new"
        elif after is None:
            yield f"{name} is no longer used"
        elif before.digest and after.digest and before.digest != after.digest:
            what = [each.kind for each in (before, after)]
            if what[0] != what[1]:
                yield f"{name} changed ({what[0]} → {what[1]})"
            else:  # large data has a digest that also depends on what stands before it, and on the order of sets
                yield f"{name} {'may have changed' if after.digest.startswith('~') else 'changed'}"
    before_files, files = ({each.name: each.digest for each in modules} for modules in (spec.modules, captured.modules))
    for name in sorted(before_files.keys() | files.keys()):
        if name not in before_files or name not in files:
            yield f"module {name} is {'new' if name in files else 'no longer imported'}"
        elif before_files[name] != files[name]:
            yield f"module {name} was edited"
