"""How files are written: whole or not at all.

Owns atomic writes, and the syncs that make them durable (POSIX: rename(2) replaces atomically). Knows no file's name.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from ..errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


_ELSEWHERE = "choose another place with %config PersistMagics.root"
_ADVICE = {
    errno.ENOSPC: f"free some room, or {_ELSEWHERE}",
    errno.EDQUOT: f"free some room, or {_ELSEWHERE}",
    errno.EROFS: _ELSEWHERE,
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
}


@contextlib.contextmanager
def told(action: str, path: str, in_root: bool = True) -> Iterator[None]:
    """Turn an OSError into a StoreError that says what was being done.

    Parameters
    ----------
    in_root : bool
        Whether another root would help.
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "") if in_root else ""
        raise StoreError(action, path, error.strerror or str(error), advice) from error


def sync_directory(path: str) -> None:
    """Make renames in a directory durable, if the file system can.

    Not all can sync a directory, and what was renamed is there whole all the same; SQLite goes on as well.
    """
    with contextlib.suppress(OSError):
        sync_path(path)


def sync_path(path: str) -> None:
    """Make a directory durable, or what others have written to a file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_file(path: str, mode: int = 0o600, *, readable: bool = False) -> BinaryIO:
    """Open a file for writing that does not exist yet, not even as a link; without a buffer, see `write_all`.

    Parameters
    ----------
    readable : bool
        Whether what was written is to be read, or mapped, through the same descriptor.
    """
    flags = os.O_RDWR if readable else os.O_WRONLY
    return open(os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode), "wb", buffering=0)


def open_to_append(path: str) -> BinaryIO:
    """Open a file for writing at its end, never a link; without a buffer, see `write_all`."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return open(os.open(path, flags, 0o600), "ab", buffering=0)


def write_all(file: BinaryIO, data: memoryview | bytes) -> None:
    """Write to an unbuffered file, in which nothing is left over of a write that failed; write(2) may take only a part."""
    view = memoryview(data).cast("B")
    while view:
        view = view[file.write(view) :]


def sync_file(file: BinaryIO) -> None:
    """Make what was written to a file durable."""
    os.fsync(file.fileno())


def write_new(path: str, data: bytes, mode: int = 0o600, sync: bool = True) -> None:
    """Write a file that does not exist yet, not atomically."""
    with create_file(path, mode) as file:
        os.fchmod(file.fileno(), mode)
        write_all(file, data)
        if sync:
            sync_file(file)


def write_atomic(path: str, data: bytes, *, exclusive: bool = False, sync: bool = True, mode: int = 0o600) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    exclusive : bool
        Raise FileExistsError instead of replacing: of several writers exactly one wins.
    sync : bool
        Wait until the disk has it.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.urandom(6).hex()}.tmp")
    renamed = False
    try:
        write_new(temporary, data, mode, sync)
        if exclusive:
            os.link(temporary, path)
        else:
            os.rename(temporary, path)
            renamed = True
    finally:
        if not renamed:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    if sync:
        sync_directory(directory)
