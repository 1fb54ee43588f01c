"""Jobs as a static page: the table of many in a notebook, also where no kernel lives (nbconvert, GitHub, nbclient).

Owns its HTML: complete in itself, without scripts or anything fetched, every text escaped. It says of when it is, since it
stays in the notebook. Knows rows, no files.
"""

from __future__ import annotations

import html
import time
from collections.abc import Sequence

from ..capture.explain import size
from ..monitor import Row
from ..status import moment
from ..text import one_line
from .table import elapsed, remarks, segments, tasks_words

_COLUMNS = ("job", "state", "where", "progress", "cpu", "memory", "elapsed", "remarks")
_COLOURS = {  # of JupyterLab's themes; the second for pages that have none
    "running": "var(--jp-info-color0, #0d47a1)",
    "queued": "var(--jp-warn-color0, #8a4b00)",
    "done": "var(--jp-success-color0, #1b5e20)",
    "failed": "var(--jp-error-color0, #a31515)",
    "cancelled": "var(--jp-ui-font-color2, #5f5f5f)",
    "damaged": "var(--jp-error-color0, #a31515)",
}
_BAR = "display:inline-flex;width:100px;height:9px;vertical-align:middle;border:1px solid currentColor"
_SEGMENTS = (  # tasks that are done, failed or cancelled, running; what fills them tells them apart where colours do not
    f"background:{_COLOURS['done']}",
    f"background:repeating-linear-gradient(45deg,{_COLOURS['failed']} 0 2px,transparent 2px 3px)",
    f"background:repeating-linear-gradient(90deg,{_COLOURS['running']} 0 1px,transparent 1px 3px)",
)
_CELL = "text-align:left;padding:2px 10px 2px 0;white-space:nowrap"


def table(rows: Sequence[Row], total: int) -> str:
    """Return the table as HTML; `total` is how many jobs there are."""
    now = time.time()
    count = f"{total} job{'' if total == 1 else 's'}" if total else "no jobs"
    if len(rows) < total:
        count = f"{len(rows)} of {count}"
    caption = f'<caption style="text-align:left;caption-side:bottom">{count}, as of {moment(now)}</caption>'
    head = "".join(f'<th scope="col" style="{_CELL}">{column}</th>' for column in _COLUMNS)
    body = "".join(_line(row, now) for row in rows)
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _line(row: Row, now: float) -> str:
    cpu, memory = row.samples("cpu"), row.samples("memory")
    cells = (
        f'<th scope="row" style="{_CELL}">{_text(row.name)}</th>',
        f'<td style="{_CELL};color:{_COLOURS.get(row.state, "inherit")}">{_text(row.state_words)}</td>',
        _cell(f"{row.backend} {row.id}"),
        f'<td style="{_CELL}">{_progress(row)}</td>',
        _cell(f"{cpu[-1]:.0f} %" if cpu else ""),
        _cell(size(int(memory[-1])) if memory else ""),
        _cell(elapsed(row.elapsed(now))),
        f'<td style="{_CELL};white-space:normal">{_text(remarks(row, now))}</td>',
    )
    return f"<tr>{''.join(cells)}</tr>"


def _progress(row: Row) -> str:
    if row.tasks is not None:
        parts = zip(_SEGMENTS, segments(row.tasks, 100), strict=True)
        bars = "".join(f'<span style="{style};width:{length}%"></span>' for style, length in parts if length)
        bar = f'<span role="img" aria-label="{tasks_words(row.tasks)}" style="{_BAR}">{bars}</span>'
        return f"{bar} {row.tasks.done}/{row.tasks.total}"
    if row.share is None:
        return ""
    return f'<progress max="1" value="{row.share:.3f}" aria-label="{_text(row.name)}"></progress>'


def _cell(words: str) -> str:
    return f'<td style="{_CELL}">{_text(words)}</td>'


def _text(words: str) -> str:
    return html.escape(one_line(words))
