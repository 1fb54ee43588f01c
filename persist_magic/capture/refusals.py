"""What belongs to this process and is never written, with the words for it.

Owns the list of such types and the advice for each. Knows nothing of pickling.
"""

from __future__ import annotations

import pickle

_OPEN_FILE = "an open file; open it, by its path, inside the cell"
_CONNECTION = "a database connection; connect inside the cell"
_EXECUTOR = "threads or processes of this session; make it inside the cell"
_FUTURE = "a running computation of this session; take its result first"
_LIBRARY = "a library loaded into this process; load it inside the cell"
_ARCHIVE = "an open archive; open it, by its path, inside the cell"

_WHY = {
    ("_io", "TextIOWrapper"): _OPEN_FILE,
    ("_io", "BufferedReader"): _OPEN_FILE,
    ("_io", "BufferedWriter"): _OPEN_FILE,
    ("_io", "BufferedRandom"): _OPEN_FILE,
    ("_io", "BufferedRWPair"): _OPEN_FILE,
    ("_io", "FileIO"): _OPEN_FILE,
    ("tempfile", "_TemporaryFileWrapper"): _OPEN_FILE,
    ("tempfile", "SpooledTemporaryFile"): _OPEN_FILE,
    (
        "tempfile",
        "TemporaryDirectory",
    ): "it deletes its directory when it is dropped; pass the path of a directory that stays",
    ("zipfile", "ZipFile"): _ARCHIVE,
    ("tarfile", "TarFile"): _ARCHIVE,
    ("mmap", "mmap"): "memory mapped into this process; map the file inside the cell",
    ("socket", "socket"): "a socket of this session; connect inside the cell",
    ("ssl", "SSLContext"): "keys and certificates loaded into this process; make it inside the cell",
    ("subprocess", "Popen"): "a child process of this session; start it inside the cell",
    ("multiprocessing.process", "BaseProcess"): "a child process of this session; start it inside the cell",
    ("multiprocessing.pool", "Pool"): _EXECUTOR,
    ("multiprocessing.managers", "BaseManager"): _EXECUTOR,
    ("multiprocessing.connection", "_ConnectionBase"): "a pipe of this session; make it inside the cell",
    ("multiprocessing.queues", "Queue"): "a queue between processes of this session; make it inside the cell",
    ("multiprocessing.synchronize", "SemLock"): "a lock between processes of this session; make it inside the cell",
    ("multiprocessing.shared_memory", "SharedMemory"): "memory shared with processes of this session; copy what is in it",
    ("concurrent.futures._base", "Executor"): _EXECUTOR,
    ("asyncio.events", "AbstractEventLoop"): "a running event loop; the cell can await at its top level without it",
    ("_asyncio", "Future"): _FUTURE,
    ("_asyncio", "Task"): _FUTURE,
    ("sqlite3", "Connection"): _CONNECTION,
    ("sqlite3", "Cursor"): _CONNECTION,
    ("ipywidgets.widgets.widget", "Widget"): "a widget, whose other half is in the browser; make it inside the cell",
    ("ctypes", "CDLL"): _LIBRARY,
    ("_ctypes", "CFuncPtr"): _LIBRARY,
    ("_ctypes", "_Pointer"): "a pointer into this process; make it inside the cell",
    ("builtins", "PyCapsule"): "a pointer into this process; make it inside the cell",
    ("builtins", "frame"): "a running frame; keep what is needed of it",
    ("builtins", "traceback"): "a traceback holds running frames; keep traceback.format_exc() instead",
    (
        "builtins",
        "generator",
    ): "a generator cannot leave its process; make a list of it, or call its function inside the cell",
    ("builtins", "async_generator"): "a generator cannot leave its process; call its function inside the cell",
    ("builtins", "coroutine"): "a coroutine that has begun; call its function inside the cell",
}


_PICKLING_METHODS = frozenset({"__reduce__", "__reduce_ex__", "__getstate__"})


def why_refused(kind: type) -> tuple[str, str] | None:
    """Return why objects of a type cannot be written and what to do instead, or None if they can.

    A class that derives from such a type and says itself how it is pickled can.
    """
    for each in kind.__mro__:
        home = each.__module__
        if isinstance(home, str) and (words := _WHY.get((home, each.__qualname__))) is not None:
            why, _, advice = words.partition("; ")
            return f"cannot pickle {kind.__qualname__!r}: {why}", advice
        if not _PICKLING_METHODS.isdisjoint(each.__dict__):
            return None
    return None


class Refused(pickle.PicklingError):
    """An object that cannot be written, with the words for it and what to do instead."""

    def __init__(self, why: str, advice: str) -> None:
        super().__init__(why)
        self.advice = advice
