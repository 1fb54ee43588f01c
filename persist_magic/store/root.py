"""The root: the folder that holds the job directories.

Owns its lock, how a filled directory gets its name, how an older one is replaced or deleted, and what is done about what a
crash has left.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Container, Iterator

from ..errors import Damaged, JobExists, StoreError, UnsafePath
from .directory import NAME, JobDirectory, check_name, remove_tree
from .trust import TRUST_ADVICE, check_trusted
from .writing import sync_directory, told, write_new

_STALE_SECONDS = 86400.0
_DELETE_SECONDS = 2.0
_NEW, _ASIDE, _DOOMED = ".new-", ".old-", ".del-"  # being made, being replaced, being deleted


class Root:
    """The folder that holds the job directories.

    Parameters
    ----------
    path : str
        Need not exist yet.
    """

    def __init__(self, path: str) -> None:
        try:
            self.path = os.path.abspath(os.path.expanduser(path))
        except FileNotFoundError:
            raise StoreError("find the root", path, "the present directory has been deleted; change to another") from None

    def prepare(self) -> None:
        """Make the root if it is not there, with mode 0700, and check it.

        Raises
        ------
        UnsafePath
            If it is another user's or others may write it.
        StoreError
            If it cannot be made.
        """
        with told("make the root", self.path):
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path, 0o700)
                os.chmod(self.path, 0o700)
                write_new(os.path.join(self.path, ".gitignore"), b"*\n", sync=False)
        self.check()

    def check(self) -> None:
        """Raise unless the root, if it exists, is a directory of this user alone."""
        try:
            if not stat.S_ISDIR(os.stat(self.path).st_mode):
                raise StoreError("use", self.path, "it is not a directory")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError("use", self.path, error.strerror or str(error)) from None
        try:
            check_trusted(self.path)
        except UnsafePath as error:
            another = f"choose another with %config PersistMagics.root{TRUST_ADVICE}"
            advice = error.advice if "chmod" in error.advice else another
            raise UnsafePath(self.path, error.why, advice) from None

    def names(self, known: Container[str] = ()) -> list[str]:
        """Return the names of all job directories, sorted; what has no job.json is not ours and left out.

        Parameters
        ----------
        known : container of str
            Names of which that need not be asked again.
        """
        self.check()
        try:
            with os.scandir(self.path) as entries:
                every = [entry.name for entry in entries]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError("read", self.path, error.strerror or str(error)) from None
        if any(name.startswith((_NEW, _ASIDE, _DOOMED)) for name in every):
            every += self.tidy()
        return sorted(name for name in every if name in known or (NAME.fullmatch(name) and self.directory(name).exists()))

    def directory(self, name: str) -> JobDirectory:
        """Return the job directory of that name, which need not exist."""
        return JobDirectory(os.path.join(self.path, check_name(name)), name)

    @contextlib.contextmanager
    def lock(self, file: str = ".lock", timeout: float = 30.0) -> Iterator[None]:
        """Hold the root's lock: one session at a time submits, reruns or deletes.

        File systems that offer no locks are used without: renames still let exactly one win.
        """
        path = os.path.join(self.path, file)
        with told("lock", path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            deadline = time.monotonic() + timeout
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                        break
                    if error.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() > deadline:
                        raise StoreError("lock", path, f"held by another process for {timeout:g} s") from None
                time.sleep(0.005)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[str]:
        """Give an empty directory of the root that lists no job, and delete it with all that is in it.

        Raises
        ------
        StoreError
            If the file system refuses.
        """
        path = os.path.join(self.path, f"{_DOOMED}{os.urandom(8).hex()}")  # what a crash leaves is tidied up
        with told("write in", self.path):
            os.mkdir(path, 0o700)
        try:
            yield path
        finally:
            deadline = time.monotonic() + _DELETE_SECONDS
            while os.path.lexists(path) and time.monotonic() < deadline:  # somebody may just be writing in it
                remove_tree(path, ignore_errors=True)

    @contextlib.contextmanager
    def new_directory(self, name: str) -> Iterator[JobDirectory]:
        """Give a directory with an empty run-1 to fill; unless it is published, nothing of it is left behind.

        Raises
        ------
        StoreError
            If the file system refuses, here or in the body.
        """
        self.prepare()
        final = self.directory(name)
        work = JobDirectory(os.path.join(self.path, f"{_NEW}{os.urandom(8).hex()}"), name)
        with told("write job", final.path):
            os.mkdir(work.path, 0o700)
            try:
                os.mkdir(work.run(1).path, 0o700)
                yield work
            finally:
                if os.path.lexists(work.path):
                    remove_tree(work.path, ignore_errors=True)

    def publish(self, work: JobDirectory, *, replace: bool) -> str:
        """Give a filled directory its name. The caller holds the lock and knows that no older job of the name lives.

        Returns
        -------
        str
            Where an older job of the name now lies, for `discard` or `put_back`; empty if there was none.

        Raises
        ------
        JobExists
            If the name is taken and `replace` is false.
        """
        final, aside = self.directory(work.name), ""
        sync_directory(work.run(1).path)
        sync_directory(work.path)
        if replace and final.exists():
            self._check_marker(final)
            aside = self._swap(work.path, final)
        else:
            try:
                os.rename(work.path, final.path)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    why = "something that is not a job of persist_magic has that name"
                    raise JobExists(work.name, (why,), alive=False) from None
                raise
        sync_directory(self.path)
        return aside

    def _swap(self, new: str, final: JobDirectory) -> str:
        """Put `new` in the place of an older job; return where that now lies. On failure it is back in its place."""
        aside = os.path.join(self.path, f"{_ASIDE}{os.urandom(8).hex()}-{final.name}")
        os.rename(final.path, aside)
        try:
            os.rename(new, final.path)
        except OSError:
            os.rename(aside, final.path)
            raise
        return aside

    def put_back(self, aside: str, directory: JobDirectory) -> None:
        """Give an older job that was put aside its name back. The caller holds the lock and has deleted the newer one."""
        with told("put back", directory.path):
            os.rename(aside, directory.path)
            sync_directory(self.path)

    def discard(self, path: str) -> None:
        """Delete a job directory under a name that says so, in case the deletion is interrupted.

        Where a full disk has no room even for that name, it is no job any more from the first step on.
        """
        doomed = os.path.join(self.path, f"{_DOOMED}{os.urandom(8).hex()}")
        try:
            os.rename(path, doomed)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            os.unlink(JobDirectory(path, "").spec_path)
            doomed = path
        remove_tree(doomed, ignore_errors=True)  # what resists is tidied later

    @staticmethod
    def _check_marker(directory: JobDirectory) -> None:
        """Raise Damaged unless a readable job.json says that the directory is a job of this name."""
        advice = f"what is not certainly a job is not deleted; delete {directory.path} by hand"
        try:
            name = directory.spec().name
        except Damaged as error:
            raise Damaged(error.job, error.what, f"{error.why}; {advice}") from None
        if name != directory.name:
            raise Damaged(directory.name, "job.json", f"it belongs to job {name}; {advice}")

    def delete(self, directory: JobDirectory, kept: str = "") -> None:
        """Delete a job directory. The caller holds the lock and knows that the job does not live.

        Parameters
        ----------
        kept : str
            Where an older job lies that is going to be put back; any other that it has replaced goes, too.

        Raises
        ------
        Damaged
            If it does not carry our marker (a readable job.json of this name).
        StoreError
            If the file system refuses.
        """
        self._check_marker(directory)
        with told("delete", directory.path):
            for name, aside in self._put_aside():
                if name == directory.name and aside != kept:
                    self.discard(aside)
            self.discard(directory.path)
            sync_directory(self.path)

    def leftovers(self) -> list[str]:
        """Return what is no job yet or no longer: being made, replaced or deleted, or left by a crash; see `tidy`."""
        with told("read", self.path):
            return sorted(entry for entry in os.listdir(self.path) if entry.startswith((_NEW, _ASIDE, _DOOMED)))

    def finish_replacements(self) -> list[str]:
        """Finish what sessions have begun that died while they replaced a job; return the names of jobs put back.

        Before the new job was in its place the older one gets its name back, afterwards it goes. The caller holds the lock,
        so that nobody is just doing this.
        """
        put_back = []
        with told("finish a replacement in", self.path):
            for name, aside in self._put_aside():
                home = self.directory(name)
                if not os.path.lexists(home.path):
                    os.rename(aside, home.path)
                    put_back.append(name)
                elif home.run(1).is_abandoned():  # else its backend may still refuse it, see `put_back`
                    self.discard(aside)
        return put_back

    def _put_aside(self) -> Iterator[tuple[str, str]]:
        """The jobs that were put aside to be replaced: name, and where each lies."""
        for entry in os.listdir(self.path):
            name = entry.removeprefix(_ASIDE).partition("-")[2]
            if entry.startswith(_ASIDE) and NAME.fullmatch(name):
                yield name, os.path.join(self.path, entry)

    def tidy(self, stale_seconds: float = _STALE_SECONDS) -> list[str]:
        """Finish what a crash interrupted: put back jobs that were being replaced, drop what was half made or half deleted.

        Dropped is only what has not been touched for `stale_seconds`, a day: another process may still be at it.

        Returns
        -------
        list of str
            The names of jobs that were put back.
        """
        found: list[str] = []
        with contextlib.suppress(OSError, StoreError):  # who holds the lock does it, and who may not write need not
            with self.lock(timeout=0.0):
                found = self.finish_replacements()
            for entry in os.listdir(self.path):
                path = os.path.join(self.path, entry)
                if not entry.startswith((_NEW, _ASIDE, _DOOMED)) or os.path.islink(path):
                    continue
                with contextlib.suppress(OSError):
                    if time.time() - os.stat(path).st_ctime >= stale_seconds:
                        remove_tree(path, ignore_errors=True)
        return found
