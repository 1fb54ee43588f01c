"""Backends: where jobs run. The registry finds them by name.

Owns the names of the backends that come with the package; others register under the entry point group
``persist_magic.backends`` with a callable that returns an object of the `Backend` protocol.
"""

from __future__ import annotations

import importlib
from typing import cast

from ..errors import BackendError
from .base import Backend

BUILT_IN = {
    "local": "persist_magic.backends.local:LocalBackend",
    "slurm": "persist_magic.backends.slurm:SlurmBackend",
}
GROUP = "persist_magic.backends"

_made: dict[str, Backend] = {}


def backend_names() -> list[str]:
    """Return the names of all backends: those that come with the package, then others that are installed."""
    from importlib.metadata import entry_points  # looks into every installed package

    return list(dict.fromkeys((*BUILT_IN, *sorted(point.name for point in entry_points(group=GROUP)))))


def get_backend(name: str) -> Backend:
    """Return the backend of a name, always the same object in one process.

    Raises
    ------
    BackendError
        If there is none of that name.
    """
    if name not in _made:
        _made[name] = _make(name)
    return _made[name]


def _make(name: str) -> Backend:
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return cast(Backend, getattr(importlib.import_module(module), attribute)())
    from importlib.metadata import entry_points  # looks into every installed package: only for names not known

    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise BackendError(name, f"there is none of that name; there are {', '.join(sorted({*BUILT_IN, *found}))}")
    return cast(Backend, found[name].load()())
