"""What pickles as a call.

Owns the one class whose instances stand, in a stream, for what calling a function with arguments gives the reader.
"""

from __future__ import annotations

from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class StandIn:
    """Pickles as a call of `function`; another object may take over its place in the memo."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._reduced = function, arguments

    def __reduce__(self) -> Any:
        return self._reduced
