"""Figures of matplotlib in a job: drawn as in the session, and handed over as in a notebook.

Owns the choice of the backend and the session's settings. Imports neither matplotlib nor IPython.
"""

from __future__ import annotations

import importlib.util
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INLINE = "module://matplotlib_inline.backend_inline"
_OF_FILES = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")


def choose_backend() -> None:
    """Before matplotlib is imported: let figures be displayed, as ``%matplotlib inline`` does.

    Where a job runs there is no window, so this also stands for the backends that open one. One that was chosen by the
    variable MPLBACKEND and only writes files is left alone.
    """
    chosen = os.environ.get("MPLBACKEND", "").lower()
    own = chosen.startswith("module://") and "ipympl" not in chosen
    if chosen not in _OF_FILES and not own and importlib.util.find_spec("matplotlib_inline") is not None:
        os.environ["MPLBACKEND"] = _INLINE


def apply(settings: dict[str, Any]) -> None:
    """After matplotlib was imported: set what the session had set. What this version does not know is left out."""
    for name, value in settings.items():
        try:
            sys.modules["matplotlib"].rcParams[name] = value
        except (KeyError, ValueError):
            continue
