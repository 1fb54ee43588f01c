"""Whether everything that jobs need is there: the root, the packages, each backend, the kernel.

Owns what is examined, in which order. Submits a tiny job to each backend in a folder of its own, of which nothing is left
behind; touches no other job. Prints nothing: it yields findings as it makes them.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from ..backends import backend_names
from ..errors import BackendError
from ..findings import Finding, Verdict
from . import kernel, root, trial, versions


def examine(backends: Sequence[str] | None, options: Sequence[str], timeout: float) -> Generator[Finding, None, None]:
    """Yield what is found, good and bad.

    Whoever does not take all of it has to close the iterator, which cancels a tiny job that is just being tried.

    Parameters
    ----------
    backends : sequence of str or None
        Those to try; None for all that are registered. One that is named has to be there.
    options : sequence of str
        Options for the tiny jobs, as they stand after ``--``.
    timeout : float
        How long to wait for a tiny job, seconds.

    Raises
    ------
    BackendError
        If there is no backend of a name that is given.
    """
    known = backend_names()
    for name in backends or ():
        if name not in known:
            raise BackendError(name, f"there is none of that name; there are {', '.join(known)}")
    return _examined(known if backends is None else backends, backends is not None, options, timeout)


def _examined(
    backends: Sequence[str], named: bool, options: Sequence[str], timeout: float
) -> Generator[Finding, None, None]:
    place = root.Place.chosen()
    usable = yield from root.examine(place)
    if usable:
        yield from root.contents(place)
    yield from versions.examine()
    yield from kernel.examine()
    for name in backends:
        if usable:
            yield from trial.examine(name, named, options, place, timeout)
        else:
            yield Finding(name, Verdict.FACT, "not tried: jobs need a root", "mend the root first, then look again")
