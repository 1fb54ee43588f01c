"""Jupyter: whether the dashboard's clicks are heard while a cell runs.

Owns what that depends on, in words. How messages find their way in a kernel is `views.subshells`'.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from ..capture.environment import in_notebook, ipython_shell
from ..findings import Finding, Verdict
from ..views import subshells
from .versions import is_older, least

TOPIC = "notebooks"
_FIRST = "7.1"
"""The first ipykernel in which a page can have a subshell of its own that answers while a cell runs."""


def examine() -> Iterator[Finding]:
    """Yield what is found of ipykernel, and in a kernel whether a click is heard while this runs."""
    try:
        found = version("ipykernel")
    except PackageNotFoundError:
        yield Finding(TOPIC, Verdict.FACT, "ipykernel is not installed here: notebooks need it, terminals do not")
        return
    wanted = least("ipykernel", "notebooks")
    if is_older(found, wanted):
        words = f"ipykernel {found} is older than {wanted}, from which on the dashboard is tested"
        yield Finding(TOPIC, Verdict.WARNING, words, f"pip install 'ipykernel>={wanted}', then restart the kernel")
    elif is_older(found, _FIRST):
        words = f"ipykernel {found}: the dashboard is live while a cell runs, but its buttons wait for the cell's end"
        yield Finding(TOPIC, Verdict.FACT, words, f"with 'ipykernel>={_FIRST}' they do not")
    elif not in_notebook():
        words = f"ipykernel {found}: the dashboard's buttons work while a cell runs; %persist_doctor in a notebook tries it"
        yield Finding(TOPIC, Verdict.OK, words)
    elif why := subshells.unheard(ipython_shell().kernel):
        words = f"ipykernel {found}: the dashboard's buttons wait for the cell's end, for a click was not heard: {why}"
        yield Finding(TOPIC, Verdict.WARNING, words, "update ipykernel, restart the kernel; or use the magics between cells")
    else:
        words = f"ipykernel {found}: a click in the dashboard is heard while a cell runs (just tried)"
        yield Finding(TOPIC, Verdict.OK, words)
