"""The root: whether its file system does what the store relies on, whether it is this user's alone, how fast it is.

Owns these checks and their words. What is tried is tried with the store's own functions, in a folder of the root that is
deleted again. Knows no jobs but those that it counts.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import stat
import statistics
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from ..capture.explain import size
from ..errors import PersistError, StoreError, UnsafePath
from ..findings import Finding, Verdict
from ..job import statuses
from ..session import default_root, root_origin
from ..store import FRESH_SECONDS, Root, told, write_atomic, write_new
from ..submission import jobs

TOPIC = "root"

SLOW_WRITE_SECONDS, SLOW_LOOK_SECONDS = 0.05, 0.005
SKEW_SECONDS = 2.0
"""Clocks that differ by less are taken for equal: so coarse are the times of some file systems."""
LITTLE_BYTES, FEW_FILES = 1_000_000_000, 1000

_NETWORK = frozenset(
    {"9p", "afs", "beegfs", "beegfs_nodev", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "orangefs"}
    | {"panfs", "smb3", "smbfs", "virtiofs", "wekafs"}
)
_MEMORY = frozenset({"tmpfs", "ramfs"})
_ELSEWHERE = "choose another folder with %config PersistMagics.root, $PERSIST_ROOT or --root"
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_TRIES, _TRIES_SECONDS = 9, 1.0
_NAMED = 5


def _found(verdict: Verdict, words: str, advice: str = "") -> Finding:
    return Finding(TOPIC, verdict, words, advice)


@dataclass(frozen=True)
class Place:
    """Where the root is, or is going to be.

    Attributes
    ----------
    path : str
    origin : str
        Who chose it.
    """

    path: str
    origin: str

    @classmethod
    def chosen(cls) -> Place:
        """Return the place that is in force."""
        return cls(Root(default_root()).path, root_origin())

    @property
    def exists(self) -> bool:
        return os.path.lexists(self.path)

    def folder(self) -> str:
        """Return the root, or the nearest folder above it that is there."""
        folder = self.path
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        return folder


def examine(place: Place) -> Generator[Finding, None, bool]:
    """Yield what is found of the folder and its file system; return whether jobs can run there."""
    yield _found(Verdict.OK, f"{place.path} ({place.origin})")
    folder = place.folder()
    try:
        yield from _ownership(place, folder)
        yield from _parents(folder)
        yield from _file_system(folder)
        with Root(folder).scratch() as scratch:
            usable = yield from _promises(scratch)
            yield from _latency(scratch)
            yield from _clock(scratch)
            return usable
    except UnsafePath as error:
        yield _found(Verdict.TROUBLE, f"{error.path} is not safe: {error.why}", error.advice)
    except StoreError as error:
        yield _found(Verdict.TROUBLE, f"cannot {error.action} {error.path}: {error.why}", f"mend that, or {_ELSEWHERE}")
    return False


def _ownership(place: Place, folder: str) -> Iterator[Finding]:
    if not os.path.isdir(folder):
        raise StoreError("use", folder, "it is not a directory")
    if not place.exists:
        yield _found(Verdict.FACT, "not there yet; the first job makes it")
        return
    Root(place.path).check()
    with told("look at", place.path):
        mode = stat.S_IMODE(os.stat(place.path).st_mode)
    if mode & 0o077:
        words = f"yours, but others may read it (mode {mode:04o}), and with it what jobs print and return"
        yield _found(Verdict.FACT, words, f"chmod 700 {shlex.quote(place.path)} keeps them out")
    else:
        yield _found(Verdict.OK, f"yours alone (mode {mode:04o})")


def _parents(folder: str) -> Iterator[Finding]:
    """Folders above in which anybody could put another one in the root's place."""
    parent = os.path.realpath(folder)
    while (parent := os.path.dirname(parent)) != "/":
        with told("look at", parent):
            mode = os.stat(parent).st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            words = f"everybody may write {parent}, and so put another folder in the root's place"
            yield _found(Verdict.WARNING, words, f"chmod o-w {shlex.quote(parent)}, or {_ELSEWHERE}")


def _file_system(folder: str) -> Iterator[Finding]:
    kind, device = _mount(folder)
    named = f"file system {kind}" + (f" on {device}" if device not in ("", "none", kind) else "")
    if kind in _MEMORY:
        words = f"{named}: it is in memory, so that jobs are lost at the next reboot, and no other host sees them"
        yield _found(Verdict.WARNING, words, _ELSEWHERE)
    elif kind in _NETWORK:
        words = f"{named}: shared with other hosts, of which it may show what they write some seconds late"
        yield _found(Verdict.FACT, words)
    elif kind.startswith("fuse"):
        yield _found(Verdict.FACT, f"{named}: not all that go through FUSE do what jobs need; see below what this one does")
    elif kind == "overlay":
        yield _found(Verdict.FACT, f"{named}: a container's own, which mostly is deleted with it")
    elif kind:
        yield _found(Verdict.OK, named)
    with told("look at", folder):
        room = os.statvfs(folder)
    if room.f_flag & os.ST_RDONLY:
        raise StoreError("write", folder, "the file system is mounted read-only")
    free, files = room.f_bavail * room.f_frsize, room.f_favail
    few = bool(room.f_files) and files < FEW_FILES  # some count no files
    scarce = free < LITTLE_BYTES or few
    words = f"{size(free)} free" + (f", room for {files} files" if few else "")
    advice = f"delete old jobs with %persist_clean --older 7d, or {_ELSEWHERE}"
    yield _found(Verdict.WARNING, f"only {words}", advice) if scarce else _found(Verdict.OK, words)


def _mount(folder: str) -> tuple[str, str]:
    """Type and device of the file system on which a folder is; "" where the system does not tell."""
    import psutil

    path = os.path.join(os.path.realpath(folder), "")
    found = "", "", ""
    try:
        mounts = psutil.disk_partitions(all=True)
    except OSError:
        mounts = []
    for each in mounts:  # of several at one place the last one is seen
        if path.startswith(os.path.join(each.mountpoint, "")) and len(each.mountpoint) >= len(found[0]):
            found = each.mountpoint, each.fstype, each.device
    return found[1], found[2]


# ---------------------------------------------------------------- what the store relies on


def _promises(scratch: str) -> Generator[Finding, None, bool]:
    kept, usable = [], True
    for check in (_replaces, _only_one_wins, _locks):
        finding = check(scratch)
        if finding is None:
            kept.append(_PROMISES[check])
        else:
            usable = usable and finding.verdict is not Verdict.TROUBLE
            yield finding
    if kept:
        yield _found(Verdict.OK, f"what jobs need of a file system is there: {', '.join(kept)}")
    return usable


def _replaces(scratch: str) -> Finding | None:
    """Files are written whole, synced, and replaced in one step; a folder is not replaced by a rename."""
    path = os.path.join(scratch, "record")
    with told("write", path):
        for data in (bytes(1 << 16), b"second"):
            write_atomic(path, data)
        with open(path, "rb") as file:
            read = file.read()
        if read != b"second":
            return _found(Verdict.TROUBLE, "a file that was replaced is read as it was before", _ELSEWHERE)
        for name in ("one", "two"):
            os.mkdir(os.path.join(scratch, name))
            write_new(os.path.join(scratch, name, "file"), b"", sync=False)
    try:
        os.rename(os.path.join(scratch, "one"), os.path.join(scratch, "two"))
    except OSError:
        return None
    words = "a rename replaces a folder that is not empty: runs could overwrite each other"
    return _found(Verdict.TROUBLE, words, _ELSEWHERE)


def _only_one_wins(scratch: str) -> Finding | None:
    """Of several that make the same file exactly one succeeds."""
    path = os.path.join(scratch, "taken")
    try:
        write_atomic(path, b"first", exclusive=True)
        write_atomic(path, b"second", exclusive=True)
    except FileExistsError:
        return None
    except OSError as error:
        words = f"no hard links ({error.strerror or error}), without which a worker cannot make sure that it is the only one"
        return _found(Verdict.TROUBLE, f"the file system has {words}: no job can run here", _ELSEWHERE)
    return _found(Verdict.TROUBLE, "two can make the same file: a job could be run twice", _ELSEWHERE)


def _locks(scratch: str) -> Finding | None:
    """A lock that one holds is refused to the other."""
    path = os.path.join(scratch, "lock")
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    with told("lock", path), open(os.open(path, flags, 0o600)) as one, open(os.open(path, flags, 0o600)) as other:
        try:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return None
            if error.errno not in _NO_LOCKS:
                raise
            why = f"no file locks ({error.strerror})"
        else:
            why = "locks that hold nobody up"
    words = f"the file system has {why}: jobs run, but do not submit or delete in two sessions at the same moment"
    return _found(Verdict.WARNING, words, f"on NFS mount without nolock, on Lustre with flock; or {_ELSEWHERE}")


_PROMISES: dict[Callable[[str], Finding | None], str] = {
    _replaces: "writing, syncing and replacing files whole",
    _only_one_wins: "hard links",
    _locks: "locks",
}


def _latency(scratch: str) -> Iterator[Finding]:
    path = os.path.join(scratch, "record")
    with told("write", path):
        write = _median(lambda: write_atomic(path, b"{}"))
        look = _median(lambda: os.stat(path))
    words = f"a record is written in {_duration(write)}, a file looked at in {_duration(look)}"
    if write > SLOW_WRITE_SECONDS or look > SLOW_LOOK_SECONDS:
        yield _found(Verdict.WARNING, f"slow: {words}; submitting takes about ten such records", _ELSEWHERE)
    else:
        yield _found(Verdict.OK, words)


def _median(act: Callable[[], object]) -> float:
    took: list[float] = []
    begin = time.monotonic()
    while len(took) < _TRIES and time.monotonic() - begin < _TRIES_SECONDS:
        start = time.perf_counter()
        act()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def _duration(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} µs"


def _clock(scratch: str) -> Iterator[Finding]:
    """Ages of heartbeats are told by the file server's clock and this host's."""
    path = os.path.join(scratch, "clock")
    before = time.time()
    with told("write", path):
        write_new(path, b"x")
        written = os.stat(path).st_mtime
    skew = written - min(max(written, before), time.time())
    if abs(skew) <= SKEW_SECONDS:
        yield _found(Verdict.OK, "the file system's clock is this host's")
        return
    words = f"the file system's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this host's"
    advice = "let both take the time from the same server (chronyc tracking, timedatectl)"
    if abs(skew) >= FRESH_SECONDS:
        yield _found(Verdict.TROUBLE, f"{words}: jobs of other hosts that run well look as if they were silent", advice)
    else:
        yield _found(Verdict.WARNING, f"{words}: ages of states are wrong by that", advice)


# ---------------------------------------------------------------- what is in it


def contents(place: Place) -> Iterator[Finding]:
    """Yield what is found of the jobs in the root."""
    if not place.exists:
        return
    every = jobs(place.path)
    damaged = [str(each) for each in statuses(every, 0.0) if isinstance(each, PersistError)]
    if damaged:
        words = "; ".join(damaged[:_NAMED])
        more = f"; and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
        advice = f"look what is left in the folders below {place.path}, then delete them by hand"
        yield _found(Verdict.TROUBLE, f"{len(damaged)} of {len(every)} jobs cannot be read: {words}{more}", advice)
    else:
        yield _found(Verdict.OK, f"{len(every)} job{'' if len(every) == 1 else 's'}, none damaged")
    left = Root(place.path).leftovers()
    if left:
        names = ", ".join(left[:_NAMED]) + (", …" if len(left) > _NAMED else "")
        words = f"left by what was interrupted, or still at work: {names}"
        yield _found(Verdict.FACT, f"{words}; a day after they are tidied up without your doing")
