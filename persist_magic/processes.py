"""What the operating system knows of processes.

Owns the identity of a process (host, boot, pid namespace, pid, start time), so that a reused pid is never taken
for the process that had it before. Standard library on Linux, psutil elsewhere and for what /proc makes awkward.
Knows nothing of jobs.
"""

from __future__ import annotations

import functools
import os
import signal
import sys

from .frozen import Frozen, frozen

_LINUX = sys.platform.startswith("linux")

ALIVE, STOPPED, GONE, UNKNOWN = "alive", "stopped", "gone", "unknown"
REBOOTED = "rebooted"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


@functools.cache
def boot_id() -> str:
    """Return what changes with every boot: Linux's random boot id, elsewhere the boot time."""
    if _LINUX and (found := _read("/proc/sys/kernel/random/boot_id").strip()):
        return found
    import psutil

    return f"boot-{psutil.boot_time():.0f}"


def pid_namespace() -> str:
    """Return the name of this process's pid namespace: in another one the same pid is another process."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def start_time(pid: int) -> str | None:
    """Return when `pid` started, as the system counts it, or None if there is no such process (or a zombie).

    On Linux field 22 of /proc/PID/stat (proc(5)), clock ticks since boot: a changed clock does not move it.
    """
    stat = _stat(pid)
    return None if stat is None or stat[0] in ("Z", "X") else stat[1]


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on, the state; empty if there is no such process."""
    # the command name, in parentheses, may itself hold spaces and parentheses
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _stat(pid: int) -> tuple[str, str, int] | None:
    """State letter, start time and parent of a process, or None."""
    if _LINUX:
        fields = _stat_fields(pid)
        return (fields[0], fields[19], int(fields[1])) if len(fields) > 19 else None
    import psutil

    try:
        process = psutil.Process(pid)
        status = process.status()
        letter = {psutil.STATUS_ZOMBIE: "Z", psutil.STATUS_STOPPED: "T"}.get(status, "S")
        return letter, f"{process.create_time():.2f}", process.ppid()
    except psutil.Error:
        return None


@frozen
class ProcessId(Frozen):
    """A process that can be recognised again.

    Attributes
    ----------
    host, boot_id, pid_namespace : str
        Where `pid` has its meaning.
    pid : int
    start_time : str
        See `start_time`; empty if the process had ended before it was looked at.
    """

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    start_time: str

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Identify a process of this host."""
        return cls(os.uname().nodename, boot_id(), pid_namespace(), pid, start_time(pid) or "")

    def state(self) -> str:
        """Return "alive", "stopped", "gone", "rebooted" (gone by its machine's reboot) or "unknown" (not visible here)."""
        if self.boot_id != boot_id():  # another kernel, or this one's earlier life; a host's name may change meanwhile
            return REBOOTED if self.host == os.uname().nodename else UNKNOWN
        if self.pid_namespace != pid_namespace():
            return UNKNOWN
        stat = _stat(self.pid)
        if stat is None or stat[0] in ("Z", "X") or stat[1] != self.start_time:
            return GONE
        return STOPPED if stat[0] in ("T", "t") else ALIVE

    def is_gone(self) -> bool:
        """Return whether it has ended for certain."""
        return self.state() in (GONE, REBOOTED)

    def signal(self, number: int, group: bool = False) -> bool:
        """Send a signal to the process, or to its process group, if it is certainly this one; tell whether it was sent."""
        if self.state() not in (ALIVE, STOPPED):
            return False
        try:
            if group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


def descendants(pid: int) -> list[int]:
    """Return the pids of all living descendants of `pid`, parents before children."""
    if not _LINUX:
        import psutil

        try:
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        except psutil.Error:
            return []
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(int(entry))) is not None and stat[0] not in ("Z", "X"):
            children.setdefault(stat[2], []).append(int(entry))
    found: list[int] = []
    layer = [pid]
    while layer:
        layer = [child for parent in layer for child in children.get(parent, ())]
        found += layer
    return found


_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def consumption(pids: list[int]) -> tuple[float, int]:
    """Return what processes have taken: seconds of cpu, those of their ended children too, and bytes of memory now.

    Memory that several of them share is counted once (the proportional set size of proc(5)), where the system tells.
    """
    seconds, memory = 0.0, 0
    for pid in pids:
        one = _consumption_linux(pid, len(pids) > 1) if _LINUX else _consumption_psutil(pid)
        seconds, memory = seconds + one[0], memory + one[1]
    return seconds, memory


def _consumption_linux(pid: int, shares: bool) -> tuple[float, int]:
    fields = _stat_fields(pid)
    if len(fields) < 22:
        return 0.0, 0
    seconds = sum(map(int, fields[11:15])) / _TICKS  # utime, stime, cutime, cstime
    if shares:
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                return seconds, int(line.split()[1]) * 1024
    return seconds, int(fields[21]) * _PAGE


def _consumption_psutil(pid: int) -> tuple[float, int]:
    import psutil

    try:
        process = psutil.Process(pid)
        return sum(process.cpu_times()[:4]), process.memory_info().rss
    except psutil.Error:
        return 0.0, 0


def command_name(pid: int) -> str:
    """Return the short name of a running program, or "?"."""
    if _LINUX:
        return _read(f"/proc/{pid}/comm").strip() or "?"
    import psutil

    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "?"


def die_with_parent() -> None:
    """Let this process be killed when the one that forked it ends, however that ends (prctl(2), PR_SET_PDEATHSIG).

    Only Linux has it; elsewhere such a process goes on.
    """
    if _LINUX:
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent ends (prctl(2), PR_SET_CHILD_SUBREAPER).

    Only Linux has it; elsewhere a descendant that detaches itself twice is not found again.
    """
    if _LINUX:
        import ctypes

        pr_set_child_subreaper = 36
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0)
