"""The cluster: its files, its daemons, and what can be done to them.

Owns one directory in which everything lies: key, sockets, configuration, database, spool and logs. Nothing of the system's own
Slurm, munge or MariaDB is read or changed. Standard library only, since it also lists the packages before anything is installed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .configuration import slurm_conf, slurmdbd_conf

PACKAGES = ("slurm-wlm", "slurmdbd", "slurm-client", "munge", "mariadb-server", "openmpi-bin", "libopenmpi-dev")
"""Debian's packages that it is made of, and the MPI that is tried on it."""

NAME = "test"
PATIENCE = 60.0
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class ClusterError(Exception):
    """A daemon died or did not answer; the words tell which, with the end of its log."""


def _wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {PATIENCE:g} s for {what}")
        time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on, below those that the kernel hands out by itself."""
    found: list[int] = []
    for port in range(20000 + (os.getpid() * 37) % 9000, 32000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise ClusterError("there are no free ports")


def _start_time(pid: int) -> str:
    """When a process started, in clock ticks since boot (proc(5)); empty if it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


class Cluster:
    """A Slurm cluster in a directory.

    Parameters
    ----------
    directory : path
        Made by `start`, removed by `stop`. Keep it short: a socket's path may have 107 characters.
    accounting : bool
        Whether there is a slurmdbd with its database.
    min_job_age : int
        How long slurmctld remembers a job that has ended, seconds.
    kill_wait : int
        Between SIGTERM and SIGKILL, seconds.
    nodes : int
        How many nodes, of four cores each.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        accounting: bool = True,
        min_job_age: int = 300,
        kill_wait: int = 15,
        nodes: int = 3,
    ) -> None:
        self.directory = Path(directory).absolute()
        self.accounting, self.min_job_age, self.kill_wait = accounting, min_job_age, kill_wait
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]

    # ---- what a program needs

    @property
    def configuration(self) -> Path:
        """The slurm.conf."""
        return self.directory / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make Slurm's programs talk to this cluster."""
        return {"SLURM_CONF": str(self.configuration)}

    def run(self, *words: str, check: bool = True) -> str:
        """Run a program of Slurm's; return what it prints.

        Raises
        ------
        ClusterError
            If it ends with an error and `check` is true.
        """
        done = subprocess.run(
            words, env=self._environment(), capture_output=True, text=True, check=False, timeout=4 * PATIENCE
        )
        if check and done.returncode != 0:
            raise ClusterError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def set_node(self, node: str, state: str, reason: str = "test") -> None:
        """Change a node's state, as an administrator does."""
        self.run("scontrol", "update", f"nodename={node}", f"state={state}", f"reason={reason}")

    def processes_of(self, job: str) -> list[int]:
        """Return the pids of all that runs for a job on this machine, Slurm's own step daemon included."""
        found = []
        for pid, environment, command in _processes():
            of_job = f"\0SLURM_JOB_ID={job}\0".encode() in b"\0" + environment
            steps = command.startswith(b"slurmstepd: [%s." % job.encode())
            if self._is_mine(environment, command) and (of_job or steps):
                found.append(pid)
        return found

    def _is_mine(self, environment: bytes, command: bytes) -> bool:
        return f"SLURM_CONF={self.configuration}\0".encode() in environment

    def _environment(self) -> dict[str, str]:
        """That of this process, without what belongs to a job or to another cluster."""
        foreign = ("SLURM", "SBATCH", "SQUEUE", "SACCT", "PERSIST", "PMI")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {**kept, **self.environment, "PATH": f"{kept.get('PATH', '')}:{_SYSTEM_PATH}"}

    # ---- the daemons

    def _daemons(self) -> dict[str, list[str]]:
        """The daemons in the order of their start, and what starts each."""
        where = self.directory
        daemons = {
            "munged": [
                "munged",
                "--foreground",
                "--force",
                f"--socket={where}/munge.socket",
                f"--key-file={where}/munge.key",
                f"--pid-file={where}/munged.pid",
                f"--log-file={where}/munged.log",
                f"--seed-file={where}/munge.seed",
            ]
        }
        if self.accounting:
            daemons["mariadbd"] = [
                "mariadbd",
                "--no-defaults",
                "--user=root",
                f"--datadir={where}/database",
                f"--socket={where}/mysql.socket",
                f"--pid-file={where}/mariadbd.pid",
                "--skip-networking",
                "--innodb-log-file-size=8M",
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-lock-wait-timeout=900",
            ]
            daemons["slurmdbd"] = ["slurmdbd", "-D"]
        daemons["slurmctld"] = ["slurmctld", "-D"]
        daemons.update({node: ["slurmd", "-D", "-N", node] for node in self.nodes})
        return daemons

    def _known(self) -> dict[str, tuple[int, str]]:
        """Pid and start time of each daemon that was started."""
        try:
            text = (self.directory / "daemons.json").read_text()
        except FileNotFoundError:
            return {}
        return {name: (pid, began) for name, (pid, began) in json.loads(text).items()}

    def start_daemon(self, name: str) -> None:
        """Start one daemon and wait until it serves.

        Raises
        ------
        ClusterError
            If it ends, or does not serve within a minute.
        """
        with open(self.directory / f"{name}.out", "ab") as log:
            process = subprocess.Popen(
                self._daemons()[name],
                # slurmdbd finds its database by the client library's variable; it has no setting for a socket
                env={**self._environment(), "MYSQL_UNIX_PORT": f"{self.directory}/mysql.socket"},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        known = {**self._known(), name: (process.pid, _start_time(process.pid))}
        (self.directory / "daemons.json").write_text(json.dumps(known))

        def serves() -> bool:
            if process.poll() is not None:
                raise ClusterError(f"{name} ended with exit code {process.returncode}:\n{self._tail(name)}")
            return self._serves(name)

        _wait_until(serves, f"{name} to serve")

    def _serves(self, name: str) -> bool:
        if name == "munged":
            return (self.directory / "munge.socket").exists()
        if name == "mariadbd":
            return self._answers("mariadb-admin", f"--socket={self.directory}/mysql.socket", "ping")
        if name == "slurmdbd":
            return self._answers("sacctmgr", "-n", "list", "cluster")
        if name == "slurmctld":
            return "is UP" in self.run("scontrol", "ping", check=False)
        return True

    def _answers(self, *words: str) -> bool:
        try:
            return (
                subprocess.run(words, env=self._environment(), capture_output=True, check=False, timeout=5).returncode == 0
            )
        except subprocess.TimeoutExpired:
            return False

    def _tail(self, name: str) -> str:
        logs = [path for path in (self.directory / f"{name}.log", self.directory / f"{name}.out") if path.exists()]
        return "\n".join(line for path in logs for line in path.read_text(errors="replace").splitlines()[-15:])

    def stop_daemon(self, name: str, number: int = signal.SIGTERM) -> None:
        """End one daemon and wait until it is gone; the processes of a node's jobs stay."""
        pid, began = self._known().get(name, (0, ""))
        if not began or _start_time(pid) != began:
            return
        os.kill(pid, number)

        def gone() -> bool:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            return _start_time(pid) != began

        _wait_until(gone, f"the end of {name}")

    # ---- all of it

    def start(self) -> Cluster:
        """Make the directory and start every daemon; return when all nodes are idle.

        Raises
        ------
        ClusterError
            If a program is missing or a daemon does not come up; then nothing is left running.
        """
        self._require_programs()
        self.directory.mkdir(mode=0o755, parents=True)
        try:
            self._write_configuration()
            for name in self._daemons():
                if name == "mariadbd":
                    self._make_database()
                self.start_daemon(name)
                if name == "slurmdbd":
                    self.run("sacctmgr", "-i", "add", "cluster", NAME)
            self.wait_for_nodes()
        except BaseException:
            self.stop()
            raise
        return self

    def wait_for_nodes(self) -> None:
        """Wait until every node takes jobs."""

        def ready() -> bool:
            states = self.run("sinfo", "-h", "-N", "-p", "debug", "-o", "%T", check=False).split()
            return len(states) == len(self.nodes) and set(states) <= {"idle", "mixed", "allocated"}

        _wait_until(ready, "the nodes")

    def stop(self) -> None:
        """End all daemons and whatever jobs left, and remove the directory."""
        for name in reversed(list(self._known())):
            try:
                self.stop_daemon(name, signal.SIGKILL if name == "mariadbd" else signal.SIGTERM)
            except ClusterError:
                self.stop_daemon(name, signal.SIGKILL)
        for pid, environment, command in _processes():
            job = b"slurmstepd" in command or b"SLURM_JOB_ID=" in environment
            if job and self._is_mine(environment, command):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _require_programs(self) -> None:
        programs = ["sbatch", "slurmctld", "slurmd", "munged", *(["slurmdbd", "mariadbd"] if self.accounting else [])]
        missing = [each for each in programs if shutil.which(each, path=self._environment()["PATH"]) is None]
        if missing:
            raise ClusterError(f"no {', '.join(missing)}: apt-get install --no-install-recommends {' '.join(PACKAGES)}")

    def _make_database(self) -> None:
        self.run(
            "mariadb-install-db",
            "--no-defaults",
            "--user=root",
            f"--datadir={self.directory}/database",
            "--skip-test-db",
            "--auth-root-authentication-method=socket",
            "--innodb-log-file-size=8M",
            "--skip-name-resolve",
        )

    def _write_configuration(self) -> None:
        # a place of its own for each node's temporary files: on one machine they would meet in /tmp, where PMIx refuses that
        for folder in ("state", *(f"{what}-{node}" for node in self.nodes for what in ("spool", "tmp"))):
            (self.directory / folder).mkdir(mode=0o755)
        key = self.directory / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        controller, database, *ports = _free_ports(2 + len(self.nodes))
        host = os.uname().nodename.partition(".")[0]
        text = slurm_conf(
            self.directory,
            cluster=NAME,
            host=host,
            port=controller,
            nodes=dict(zip(self.nodes, ports, strict=True)),
            accounting_port=database if self.accounting else None,
            min_job_age=self.min_job_age,
            kill_wait=self.kill_wait,
        )
        self.configuration.write_text(text)
        if self.accounting:
            conf = self.directory / "slurmdbd.conf"
            conf.touch(mode=0o600)  # slurmdbd insists
            conf.write_text(slurmdbd_conf(self.directory, host=host, port=database))


def _processes() -> list[tuple[int, bytes, bytes]]:
    """Pid, environment and command line of every other process that may be read."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                place = Path("/proc", entry)
                found.append((int(entry), (place / "environ").read_bytes(), (place / "cmdline").read_bytes()))
    return found
