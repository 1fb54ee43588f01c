"""The journal of a chunk of tasks: a file that only grows, a line for each thing that happens.

Owns how a line is framed, so that a crash, a full disk or a look in the middle of a write costs at most that line, and how
what is new is read. Standard library only. Knows nothing of what the lines mean.

A line is its CRC-32, a word, a number and a JSON object; JSON writes line breaks as escapes, so a line is one line.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import zlib

from .errors import Damaged
from .files import open_regular
from .store import JobDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    Place = tuple[int, int]
    """Where a line begins in the file, and how many bytes it has without its end."""

_LARGEST_PART = 1 << 24


def framed(word: str, number: int, content: bytes) -> bytes:
    """Return a line."""
    body = b"%s %d %s" % (word.encode(), number, content)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def unframed(line: bytes) -> tuple[str, int, int] | None:
    """Return word and number of a line, and where its content begins; None if it is not as it was written."""
    try:
        check, body = int(line[:8], 16), memoryview(line)[9:]
        if line[8:9] != b" " or zlib.crc32(body) != check:
            return None
        word, number, _ = line[9:].split(b" ", 2)
        return word.decode(), int(number), 9 + len(word) + 1 + len(number) + 1
    except ValueError:
        return None


class Journal:
    """A journal that this process writes.

    Parameters
    ----------
    path : str
        Made if it is not there.

    Raises
    ------
    OSError
    """

    def __init__(self, path: str) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)

    def lock(self) -> bool:
        """Claim the journal as long as this process, or one that it forked, has it open; false if another has."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # a file system without locks
        return True

    def append(self, word: str, number: int, content: bytes) -> None:
        """Write a line.

        Raises
        ------
        OSError
            If the disk is full; then nothing of it counts, and it may be tried again.
        """
        line = framed(word, number, content)
        size = os.fstat(self._descriptor).st_size
        # what a crash or a full disk cut off, whoever wrote it, is a line of its own and not the beginning of this one
        torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"
        data = b"\n" + line if torn else line
        if os.write(self._descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)

    def touch(self) -> None:
        """Let its modification time say that the writer lives."""
        os.utime(self._descriptor)

    def sync(self) -> None:
        """Wait until the disk has what was written."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class Reader:
    """A journal that grows, for reading.

    Parameters
    ----------
    job : JobDirectory
        Whose it is.
    path : str

    Attributes
    ----------
    written : float or None
        When it was last written to or touched, by the file server's clock, seconds since the epoch; None if it is not there.
    torn : int
        Lines that are not as they were written.
    offset : int
        How many bytes have been read.
    beginnings : int
        How often it has been read from its beginning on: what was read before a later one is not there any more.
    """

    def __init__(self, job: JobDirectory, path: str) -> None:
        self._job, self.path = job, path
        self.written: float | None = None
        self.torn = self.beginnings = 0
        self._inode, self.offset = 0, 0
        self._file: BinaryIO | None = None

    def news(self) -> Iterator[tuple[str, int, Place, bytes]]:
        """Yield word, number, place and content of each line that is new; begin anew if it is another file.

        Raises
        ------
        Damaged
            If it cannot be read.
        """
        try:
            info = os.stat(self.path, follow_symlinks=False)
            self.written = info.st_mtime
            if info.st_ino == self._inode and info.st_size == self.offset:
                return
            if info.st_ino != self._inode or info.st_size < self.offset:
                self._inode, self.offset, self.torn = info.st_ino, 0, 0
                self.beginnings += 1
            with open_regular(self.path) as file:
                while self.offset < info.st_size:
                    file.seek(self.offset)
                    part = file.read(_LARGEST_PART)
                    whole = part[: part.rfind(b"\n") + 1]
                    if not whole:
                        return  # the last line is being written, or was cut off
                    yield from self._lines(whole)
        except FileNotFoundError:
            self.written = None
        except OSError as error:
            raise self._damaged(error.strerror or str(error)) from None

    def _lines(self, part: bytes) -> Iterator[tuple[str, int, Place, bytes]]:
        start = self.offset
        self.offset += len(part)
        for line in part.split(b"\n")[:-1]:
            found = unframed(line)
            if found is not None:
                word, number, at = found
                yield word, number, (start, len(line)), line[at:]
            elif line:
                self.torn += 1
            start += len(line) + 1

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep the file open for many calls of `content`."""
        try:
            file = open_regular(self.path)
        except FileNotFoundError:
            yield
            return
        except OSError as error:
            raise self._damaged(error.strerror or str(error)) from None
        with file:
            self._file = file
            try:
                yield
            finally:
                self._file = None

    def content(self, place: Place) -> bytes:
        """Return the content of a line that was read before.

        Raises
        ------
        Damaged
            If it cannot be read, or is not what it was.
        """
        try:
            line = self._read(place)
        except OSError as error:
            raise self._damaged(error.strerror or str(error)) from None
        found = unframed(line)
        if found is None:
            raise self._damaged("a line was altered since it was written")
        return line[found[2] :]

    def _read(self, place: Place) -> bytes:
        start, length = place
        if self._file is not None:
            return os.pread(self._file.fileno(), length, start)
        with open_regular(self.path) as file:
            return os.pread(file.fileno(), length, start)

    def _damaged(self, why: str) -> Damaged:
        return Damaged(self._job.name, self._job.relative(self.path), why)
