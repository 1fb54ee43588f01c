"""What the worker does when the cell, or what it uses, imports certain modules.

Owns the hook in sys.meta_path, through which a cell that never imports them pays nothing for them.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


class ImportWatch:
    """A finder that finds nothing by itself, but acts before and after the import of some modules.

    Parameters
    ----------
    before, after : dict of str to callable
        By the module's name; each is called once. What they raise is told on stderr and harms no import.
    """

    def __init__(self, before: dict[str, Callable[[], None]], after: dict[str, Callable[[], None]]) -> None:
        self._before, self._after = before, after

    def install(self) -> None:
        """Watch from now on; what has been imported already counts as imported now."""
        for name in [name for name in (*self._before, *self._after) if name in sys.modules]:
            self._act(self._before, name)
            self._act(self._after, name)
        finders: list[Any] = sys.meta_path
        finders.insert(0, self)

    @staticmethod
    def _act(actions: dict[str, Callable[[], None]], name: str) -> None:
        action = actions.pop(name, None)
        if action is None:
            return
        try:
            action()
        except Exception as error:  # noqa: BLE001  the cell's import has succeeded
            print(f"persist_magic: {name} is used without its output being recorded: {error!r}", file=sys.stderr)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a watched module as the other finders do, and let its loader act when it has been loaded."""
        if name not in self._before and name not in self._after:
            return None
        self._act(self._before, name)
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if name in self._after and spec.loader is not None:
                    acting: Any = _Acting(spec.loader, lambda: self._act(self._after, name))
                    spec.loader = acting
                return spec
        return None


class _Acting:
    """A module's own loader, and then an action."""

    def __init__(self, loader: Any, action: Callable[[], None]) -> None:
        self._loader, self._action = loader, action

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._action()
