"""What a page shows of one job besides its row: the cell, what was captured, the runs, what it has put out, its tasks.

Owns their form on the way to the page: texts and pictures, nothing that could run there.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pygments.lexers import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String

from ..errors import PersistError
from ..job import Job
from ..logs import log_size, read_span
from ..status import duration, moment
from ..store import CapturedName, LocalModule, RunDirectory
from ..sweep import End, Sweep
from ..text import harmless, settle, without_colours
from .table import facts_lines, modules_line, names_lines

if TYPE_CHECKING:
    from ..outputs import Output

_KINDS = (
    (Comment, "comment"),
    (Keyword, "keyword"),
    (Name.Builtin, "builtin"),
    (Name.Function, "definition"),
    (Name.Class, "definition"),
    (String, "string"),
    (Number, "literal"),
    (Operator.Word, "keyword"),
)
_LONGEST_TEXT = 100_000
"""Characters of one output's text."""
_LARGEST_OUTPUTS = 8_000_000
"""Characters of all outputs that a page is sent."""
_LOG_END = 20_000
"""Bytes of a task's stdout, and of its stderr: the ends of them."""
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/svg+xml")


def details(job: Job) -> dict[str, Any]:
    """Return what is known of a job.

    Returns
    -------
    dict
        ``facts`` and ``native`` (lists of [label, words]), ``cell`` (a list of [kind, text], see `highlighted`), ``names``
        (a list of [name, type, size, used by]), ``modules`` (words), ``runs`` (a list of [number, words]), ``launch`` (what
        was written before the cell began), ``variables`` (a list of [name, type, why it is missing]).
    """
    info = job.info(compared=False)
    native = info.pop("native")
    outcome = job.outcome()
    kept = outcome.variables if outcome is not None else {}
    if outcome is not None and outcome.result is not None:
        kept = {"result": outcome.result, **kept}
    info.pop("variables")
    return {
        "facts": [[label, harmless(words)] for label, words in facts_lines(info)],
        "native": [[harmless(str(label)), harmless(str(words))] for label, words in native.items()],
        "cell": highlighted(job.cell()),
        "names": [list(map(harmless, line)) for line in names_lines([CapturedName(**each) for each in info["names"]])],
        "modules": modules_line([LocalModule(**each) for each in info["modules"]]) if info["modules"] else "",
        "runs": [[number, _end(_run_words(job, job.directory.run(number)))] for number in info["runs"]],
        "launch": harmless(job.launch_log()[-_LONGEST_TEXT:]),
        "variables": [
            [name, harmless(f"{each.type} {each.detail}".strip()), harmless(each.error)] for name, each in kept.items()
        ],
    }


def _run_words(job: Job, run: RunDirectory) -> str:
    """What became of a run, by its own records; of a sweep's, which tasks it was of."""
    try:
        if isinstance(job, Sweep):
            submitted = run.submitted()
            when = f"submitted {moment(submitted.time)}, " if submitted is not None else ""
            return f"{when}{f'tasks {submitted.tasks}' if submitted is not None and submitted.tasks else 'all tasks'}"
        started, ended = run.started(), run.ended()
    except PersistError as error:
        return str(error)
    words = f"started {moment(started.time)} on {started.supervisor.host}" if started is not None else "not started"
    if ended is None:
        return words
    took = f" after {duration(max(0.0, ended.time - started.time))}" if started is not None else ""
    reason = f": {ended.reason}" if ended.reason else ""
    return f"{words}, {ended.outcome}{took}{reason}"


def highlighted(code: str) -> list[list[str]]:
    """Return Python code in pieces of one kind each: [kind, text], where most have the kind ""."""
    pieces: list[list[str]] = []
    for token, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens(code):
        kind = next((kind for parent, kind in _KINDS if token in parent), "")
        if pieces and pieces[-1][0] == kind:
            pieces[-1][1] += text
        else:
            pieces.append([kind, text])
    return [[kind, harmless(text)] for kind, text in pieces]


def outputs(job: Job) -> list[dict[str, str]]:
    """Return what a job has put out so far, in order.

    Returns
    -------
    list of dict
        ``kind`` is "stdout", "stderr", "error", "text", a MIME type of pictures, whose ``data`` are in base64 or SVG, or
        "text/html", to be shown where no script runs; ``data`` is the text.
    """
    shown: list[dict[str, str]] = []
    room = _LARGEST_OUTPUTS
    for each in _pieces(job.outputs()):
        room -= len(each["data"])
        if room < 0:
            shown.append({"kind": "text", "data": f"… more than is shown here; %persist_show {job.name} shows all"})
            break
        shown.append(each)
    return shown


def tasks(sweep: Sweep) -> str:
    """Return the state of each task by its first letter, with a number after it for as many tasks in a row: "d3fr2q94"."""
    runs = ((word[0], sum(1 for _ in same)) for word, same in groupby(sweep.states()))
    return "".join(f"{letter}{count if count > 1 else ''}" for letter, count in runs)


def task(sweep: Sweep, number: int) -> dict[str, Any]:
    """Return what is known of one task of a sweep.

    Returns
    -------
    dict
        ``task`` (its number), ``given``, ``state``, ``reason``, ``note``, ``run``, ``seconds`` (or None), ``result`` (in
        words), ``stdout`` and ``stderr`` (``[text, bytes that stand before it]``).
    """
    end = sweep.end(number)
    return {
        "task": end.task,
        "given": _end(end.label),
        "state": end.status.state.value,
        "reason": _end(end.status.reason),
        "note": _end(end.status.note),
        "run": end.status.run,
        "seconds": end.seconds,
        "result": _end(_result_words(end)),
        "stdout": _log_end(end, err=False),
        "stderr": _log_end(end, err=True),
    }


def _result_words(end: End) -> str:
    kept = end.kept("result")
    if kept is None:
        return ""
    missing = f"; it could not be kept: {kept.error}" if kept.payload is None else ""
    return f"{kept.shown}{missing}"


def _log_end(end: End, err: bool) -> tuple[str, int]:
    """The end of what a task has printed, as a terminal would show it, and how much stands before it."""
    path, start, stop = end.span(err)
    stop = log_size(path) if stop is None else stop
    begin = max(start, stop - _LOG_END)
    return harmless(without_colours(settle(read_span(path, begin, stop)))), begin - start


def _pieces(found: list[Output]) -> Iterator[dict[str, str]]:
    for output in found:
        kind = output["output_type"]
        if kind == "stream":
            yield {"kind": output["name"], "data": _end(output["text"])}
        elif kind == "error":
            yield {"kind": "error", "data": _end("\n".join(output["traceback"]))}
        else:
            yield _display(output["data"])


def _display(data: dict[str, Any]) -> dict[str, str]:
    """The richest form that needs no script."""
    for kind in _PICTURES:
        if kind in data:
            return {"kind": kind, "data": harmless(_joined(data[kind]))}
    markup = _joined(data.get("text/html", ""))
    if markup and "<script" not in markup.lower() and len(markup) <= _LONGEST_TEXT:
        return {"kind": "text/html", "data": markup}
    return {"kind": "text", "data": _end(_joined(data.get("text/plain", f"({', '.join(data)})")))}


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else str(text)


def _end(text: str) -> str:
    text = harmless(without_colours(text))
    return text if len(text) <= _LONGEST_TEXT else f"…{text[-_LONGEST_TEXT:]}"
