"""Who could have written what is about to be unpickled or run.

Owns that check, and the block in which it is waived.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar

from ..errors import UnsafePath

TRUST_ADVICE = "; if you trust who wrote it, add --trust"
_trusting: ContextVar[bool] = ContextVar("trusting", default=False)


@contextlib.contextmanager
def trusting() -> Iterator[None]:
    """Let what others own or may write be unpickled, as long as the block lasts.

    For a colleague's results: ``with trusting(): load("fit", root).fetch()``. What is unpickled can do all that you can do,
    so it is as if you ran a program of theirs.
    """
    token = _trusting.set(True)
    try:
        yield
    finally:
        _trusting.reset(token)


def unsafe(info: os.stat_result) -> str:
    """Why a file or directory may not be trusted; empty if it may."""
    if _trusting.get():
        return ""
    if info.st_uid != os.geteuid():
        return f"it belongs to user {info.st_uid}"
    if info.st_mode & 0o022:
        return "others may write it"
    return ""


def check_trusted(path: str) -> None:
    """Raise UnsafePath unless only this user owns and may write `path`."""
    if why := unsafe(os.stat(path)):
        advice = f"chmod go-w {path!r}" if "others" in why else f"use a directory of your own{TRUST_ADVICE}"
        raise UnsafePath(path, why, advice)
