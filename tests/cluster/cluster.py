"""A real Slurm cluster in one directory. Owns its daemons: their order, when each of them answers, and their end.

Key, sockets, configuration, database, spool and logs lie in that directory; of the system's own Slurm, munge and MariaDB only
the programs are used. What runs is written there as well, so that another program can stop what this one started.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from . import configuration
from .processes import Process, launch, listens_on_port, listens_on_socket, live_processes, with_descendants

PACKAGES = ("slurm-wlm", "slurmdbd", "munge", "mariadb-server-core", "mariadb-client-core", "openmpi-bin", "libpmix-dev")
"""What apt-get installs for it on Debian; openmpi-bin brings the libraries of PMIx and MPI that ``srun`` hands to its tasks,
and libpmix-dev the name by which Slurm loads PMIx.
"""
PATIENCE = 180.0
"""Seconds until a daemon or a program that does not answer is given up."""

_LONGEST_DIRECTORY = 55  # a Unix socket's path has 107 characters, of which PMIx takes half: unix(7)
_PORTS = range(20000, 32000)  # below those that the kernel gives to connections, which a restarted daemon could find taken
_FOREIGN = ("SLURM", "SBATCH_", "SALLOC_", "SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_", "SCONTROL_", "PMI", "OMPI_", "MYSQL_")
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
_ACCOUNTING_PROGRAMS = ("mariadb-install-db", "my_print_defaults", "mariadbd", "slurmdbd", "sacctmgr", "sacct")
_WORKING = frozenset({"idle", "mixed", "allocated", "completing"})  # sinfo(1)
_DATABASE_OPTIONS = ("--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M")


class ClusterError(Exception):
    """The cluster or a program of Slurm's did not do what it should; the words are the program's own."""


class Cluster:
    """A Slurm cluster whose nodes n1, n2, … all are this machine.

    Its partitions are debug, the default one, and urgent, whose jobs preempt debug's: these are requeued. Nodes claim 4 cores
    and 8000 MB each, whatever the machine has.

    Parameters
    ----------
    directory
        Made by `start`, removed by `stop`. At most 55 characters, since sockets lie beneath it.
    accounting
        Whether slurmdbd and its database run. Without, ``sacct`` fails.
    nodes
        How many.
    min_job_age
        How long ``squeue`` and ``scontrol`` remember a job after its end, in seconds (MinJobAge).
    kill_wait
        Between the SIGTERM and the SIGKILL for a job that is cancelled, preempted or out of time, in seconds (KillWait).
    max_array_size
        One more than the largest index of an array's task (MaxArraySize).
    slurmd_timeout
        How long a node may be silent until it is DOWN and its jobs fail or are requeued, in seconds (SlurmdTimeout). Seen
        with Slurm 22.05: 5 takes 12 s, 10 takes 18 s, 15 takes 37 s.
    name
        What ``--clusters`` calls it.
    settings
        More of slurm.conf(5); these win.

    Examples
    --------
    >>> with Cluster("/tmp/cluster") as cluster:  # doctest: +SKIP
    ...     job = cluster.run("sbatch", "--parsable", "--wrap", "hostname").strip()
    ...     cluster.stop_daemon("slurmctld")
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        accounting: bool = True,
        nodes: int = 3,
        min_job_age: int = 300,
        kill_wait: int = 15,
        max_array_size: int = 1001,
        slurmd_timeout: int = 10,
        name: str = "test",
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.directory = Path(directory).absolute()
        self.accounting = accounting
        self.nodes = tuple(f"n{number}" for number in range(1, nodes + 1))
        self.name = name
        self._settings = {
            "MinJobAge": min_job_age,
            "KillWait": kill_wait,
            "MaxArraySize": max_array_size,
            "SlurmdTimeout": slurmd_timeout,
            **(settings or {}),
        }

    @classmethod
    def attach(cls, directory: str | os.PathLike[str]) -> Cluster:
        """Return the cluster that some program has started in a directory.

        Raises
        ------
        ClusterError
            If there is none.
        """
        path = Path(directory).absolute()
        try:
            record = json.loads((path / "cluster.json").read_text())
        except FileNotFoundError:
            raise ClusterError(f"there is no cluster in {path}") from None
        return cls(path, accounting=record["accounting"], nodes=record["nodes"], name=record["name"])

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    # -- what programs need

    @property
    def configuration(self) -> Path:
        """The path of slurm.conf."""
        return self.directory / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program of Slurm's talk to this cluster."""
        return {"SLURM_CONF": str(self.configuration)}

    @property
    def daemons(self) -> tuple[str, ...]:
        """The daemons' names, in the order of their start; a node's is the node's name."""
        return ("munged", *(("mariadbd", "slurmdbd") if self.accounting else ()), "slurmctld", *self.nodes)

    # -- the whole

    def start(self) -> Cluster:
        """Start all daemons, and return when every node takes jobs and the accounting answers.

        Raises
        ------
        ClusterError
            If a program is missing, the directory is unfit or taken, or a daemon ends, with the end of its log. Nothing is
            left behind then.
        """
        self._require_programs()
        self._require_directory()
        try:
            self._write_files()
            if self.accounting:
                self._make_database()
            for daemon in self.daemons:
                self._launch(daemon)
                if daemon not in self.nodes:  # nodes come up side by side
                    self._wait_for(daemon)
                if daemon == "slurmdbd":
                    self.run("sacctmgr", "-i", "add", "cluster", self.name)
            self.wait_for_nodes()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End all daemons and all that is left of their jobs, at once, and remove the directory. There may be nothing."""
        if not (self.directory / "cluster.json").exists():
            return

        def gone() -> bool:
            members = self._members()
            for process in members:
                process.send(signal.SIGKILL)
            return not members

        self._wait_until(gone, "the end of its processes")
        shutil.rmtree(self.directory)

    def wait_for_nodes(self) -> None:
        """Wait until every node answers and is idle or works.

        Raises
        ------
        ClusterError
            If a daemon ends, or after a minute.
        """
        self._wait_until(
            lambda: all(self.node_state(node) in _WORKING for node in self.nodes), "all nodes", self._processes()
        )

    # -- outages

    def stop_daemon(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop one daemon and wait for its end; one that has ended is left alone.

        Of a node this is the slurmd only, not what runs there: a machine that fails takes `processes_of` a job along.

        Parameters
        ----------
        name
            One of `daemons`.
        number
            The signal: SIGTERM as an administrator, SIGKILL as a crash.
        """
        process = self._processes().get(self._known(name))
        if process is not None:
            process.send(number)
            self._wait_until(lambda: not process.lives(), f"the end of {name}")
            self._record(name).unlink()

    def start_daemon(self, name: str) -> None:
        """Start one daemon again, and return when it answers.

        Of a node that is when slurmctld has heard of it, unless slurmctld itself is stopped.

        Raises
        ------
        ClusterError
            If it runs already, ends, or does not answer within a minute.
        """
        process = self._processes().get(self._known(name))
        if process is not None and process.lives():
            raise ClusterError(f"{name} runs already")
        self._launch(name)
        self._wait_for(name)

    def set_node(self, node: str, state: str, reason: str = "test") -> None:
        """Change a node's state as an administrator does: down, drain, resume, …

        A node that works is not resumed, which Slurm calls an error: one whose daemon comes back resumes by itself.
        """
        resumes = state.lower() == "resume"
        if resumes and self.node_state(node) in _WORKING:
            return
        try:
            self.run("scontrol", "update", f"nodename={node}", f"state={state}", f"reason={reason}")
        except ClusterError:
            if not resumes or self.node_state(node) not in _WORKING:  # it has come back meanwhile
                raise

    def node_state(self, node: str) -> str:
        """Ask for a node's state in sinfo's words (``idle``, ``down*``, …); empty if slurmctld does not answer."""
        return self.run("sinfo", "--noheader", f"--nodes={node}", "--format=%T", check=False).partition("\n")[0].strip()

    def processes_of(self, job: str) -> list[int]:
        """Return the pids of all that runs for a job, the slurmstepds included."""
        everything = list(live_processes())
        steps = re.compile(rf"slurmstepd: \[{re.escape(job)}\.")
        roots = set()
        for process, _ in everything:
            if self._runs_a_step(process):
                with suppress(OSError):
                    if steps.match(Path(f"/proc/{process.pid}/cmdline").read_text(errors="replace")):
                        roots.add(process)
            elif self._job_of(process) == job:
                roots.add(process)
        return sorted(process.pid for process in with_descendants(roots, everything))

    # -- programs

    def run(self, *words: str, check: bool = True) -> str:
        """Run a program on this cluster and return what it prints.

        Variables of Slurm's and MPI's in this process's environment, which belong to another cluster or job, are left out.

        Raises
        ------
        ClusterError
            If it takes longer than a minute, or fails while `check` is true; the words are its stderr.
        """
        try:
            done = subprocess.run(
                words, env=self._clean_environment(), capture_output=True, text=True, check=False, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"{' '.join(words)} took longer than {PATIENCE:g} s") from error
        if check and done.returncode != 0:
            raise ClusterError(f"{' '.join(words)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _clean_environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        return {**kept, **self.environment, "PATH": _search_path()}

    # -- what start prepares

    def _require_programs(self) -> None:
        programs = _PROGRAMS + (_ACCOUNTING_PROGRAMS if self.accounting else ())
        missing = [each for each in programs if shutil.which(each, path=_search_path()) is None]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            command = f"apt-get install --no-install-recommends {' '.join(PACKAGES)}"
            raise ClusterError(f"{', '.join(missing)} {verb} missing: {command}")

    def _require_directory(self) -> None:
        text = str(self.directory)
        if not re.fullmatch(r"[\w./+@-]+", text, re.ASCII):
            raise ClusterError(f"slurm.conf cannot say {text!r}: a directory of letters, digits and ./+@-_ is needed")
        if len(text) > _LONGEST_DIRECTORY:
            raise ClusterError(f"{text} has {len(text)} characters; sockets beneath it leave room for {_LONGEST_DIRECTORY}")
        if (self.directory / "cluster.json").exists():
            raise ClusterError(f"{text} has a cluster already; python -m tests.cluster stop --directory {text} ends it")
        if self.directory.exists() and any(self.directory.iterdir()):
            raise ClusterError(f"{text} is not empty")

    def _write_files(self) -> None:
        ports = _free_ports(["slurmctld", *self.nodes, *(["slurmdbd"] if self.accounting else [])])
        self.directory.mkdir(parents=True, exist_ok=True)
        record = {"accounting": self.accounting, "nodes": len(self.nodes), "name": self.name, "ports": ports}
        (self.directory / "cluster.json").write_text(json.dumps(record))
        for folder in (
            "daemons",
            "logs",
            "munge",
            "spool",
            "state",
            "tmp/mariadbd",
            *(f"tmp/{node}" for node in self.nodes),
        ):
            (self.directory / folder).mkdir(parents=True)
        _write_secret(self.directory / "munge" / "key", os.urandom(128))
        host, user = socket.gethostname().partition(".")[0], _user()
        text = configuration.slurm_conf(
            self.directory,
            name=self.name,
            host=host,
            user=user,
            ports=ports,
            nodes=self.nodes,
            settings=self._settings,
        )
        self.configuration.write_text(text)
        if self.accounting:
            text = configuration.slurmdbd_conf(self.directory, host=host, user=user, port=ports["slurmdbd"])
            _write_secret(self.directory / "slurmdbd.conf", text.encode())

    def _make_database(self) -> None:
        self.run(
            "mariadb-install-db",
            "--no-defaults",
            "--rpm",  # keeps it from giving the system's PAM helper to another user
            f"--datadir={self.directory}/database",
            "--skip-test-db",
            "--skip-name-resolve",
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={_user()}",
            *self._database_options(),
        )

    def _database_options(self) -> list[str]:
        # a folder of its own for temporary tables: a server that starts deletes those of others in /tmp
        return [*_DATABASE_OPTIONS, f"--tmpdir={self.directory}/tmp/mariadbd", *_root_option()]

    # -- single daemons

    def _known(self, name: str) -> str:
        if name not in self.daemons:
            raise ClusterError(f"there is no {name!r} among {', '.join(self.daemons)}")
        return name

    def _command(self, name: str) -> list[str]:
        where = self.directory
        if name == "munged":
            files = {"key": "munge/key", "socket": "munge/socket", "pid": "munge/pid", "seed": "munge/seed"}
            options = [f"--{what}{'' if what == 'socket' else '-file'}={where}/{path}" for what, path in files.items()]
            # it may be forced to live beneath a directory that others can write to, such as pytest's
            return ["munged", "--foreground", "--force", *options, f"--log-file={where}/logs/munged.log"]
        if name == "mariadbd":
            place = [f"--datadir={where}/database", f"--socket={where}/database/socket", f"--pid-file={where}/database/pid"]
            patience = "--innodb-lock-wait-timeout=900"  # slurmdbd's wish
            return ["mariadbd", "--no-defaults", "--skip-networking", *place, patience, *self._database_options()]
        if name in self.nodes:
            return ["slurmd", "-D", "-N", name]
        return [name, "-D"]

    def _launch(self, name: str) -> None:
        program, *arguments = self._command(name)
        path = shutil.which(program, path=_search_path())
        if path is None:
            raise ClusterError(f"{program} is missing")
        environment = self._clean_environment()
        if name == "slurmdbd":  # its configuration has no word for the database's socket, but the client's library has
            environment["MYSQL_UNIX_PORT"] = f"{self.directory}/database/socket"
        process = launch([path, *arguments], environment, self._log(name))
        self._record(name).write_text(f"{process.pid} {process.started}\n")

    def _record(self, name: str) -> Path:
        """The file with a daemon's pid and start; it is there from its start until it was stopped."""
        return self.directory / "daemons" / name

    def _log(self, name: str) -> Path:
        """What a daemon writes to its terminal: all of its log, and what it said before it had one."""
        return self.directory / "logs" / f"{name}.out"

    def _processes(self) -> dict[str, Process]:
        """The daemons that were started and not stopped; they may have ended by themselves."""
        found = {}
        for name in self.daemons:
            with suppress(FileNotFoundError):
                pid, started = self._record(name).read_text().split()
                found[name] = Process(int(pid), int(started))
        return found

    def _wait_for(self, name: str) -> None:
        process = self._processes()[name]
        self._wait_until(lambda: self._answers(name), f"{name} to answer", {name: process})

    def _answers(self, name: str) -> bool:
        if name == "munged":
            return listens_on_socket(self.directory / "munge" / "socket")
        if name == "mariadbd":
            return listens_on_socket(self.directory / "database" / "socket")
        ports = json.loads((self.directory / "cluster.json").read_text())["ports"]
        if not listens_on_port(ports[name]):
            return False
        if name == "slurmdbd":
            return "Cluster" in self.run("sacctmgr", "list", "cluster", check=False)
        if name == "slurmctld":
            return "is UP" in self.run("scontrol", "ping", check=False)
        controller = self._processes().get("slurmctld")
        return controller is None or not controller.lives() or not re.search(r"^$|\*$|^unknown", self.node_state(name))

    def _wait_until(self, condition: Callable[[], bool], what: str, alive: Mapping[str, Process] | None = None) -> None:
        """Ask again and again, as long as some daemons live."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            for name, process in (alive or {}).items():
                if not process.lives():
                    raise ClusterError(f"{name} has ended:\n{self._last_words([name])}")
            if time.monotonic() > deadline:
                raise ClusterError(f"waited {PATIENCE:g} s for {what}:\n{self._last_words(list(alive or {}))}")
            time.sleep(0.02)

    def _last_words(self, names: Sequence[str]) -> str:
        logs = {name: self._log(name).read_text(errors="replace").splitlines()[-15:] for name in names}
        return "\n".join(f"{name}| {line}" for name, lines in logs.items() for line in lines)

    # -- who belongs to it

    def _members(self) -> set[Process]:
        """All that runs of this cluster: its daemons, its jobs' processes, and what descends from them."""
        everything = list(live_processes())
        daemons = set(self._processes().values())
        roots = {each for each, _ in everything if each in daemons or self._runs_a_step(each) or self._job_of(each)}
        return with_descendants(roots, everything)

    def _runs_a_step(self, process: Process) -> bool:
        """Whether it is a slurmstepd of this cluster's: it has no parent, but its node's log is open."""
        logs = {f"{self.directory}/logs/{node}.log" for node in self.nodes}
        return process.program().startswith("slurmstepd") and not logs.isdisjoint(process.open_files())

    def _job_of(self, process: Process) -> str:
        """Return the id of the job on this cluster in whose environment a process was started; empty if it was in none."""
        environment = process.initial_environment()
        # SLURM_CONF alone has anybody who works with the cluster
        mine = environment.get("SLURM_CONF") == str(self.configuration) and "SLURMD_NODENAME" in environment
        return environment.get("SLURM_JOB_ID", "") if mine else ""


def _search_path() -> str:
    """Where programs are looked for: daemons are where users do not look, and a test may have emptied its PATH."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin", "/sbin", "/bin"])


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _root_option() -> list[str]:
    """MariaDB runs as root only when told so."""
    return ["--user=root"] if os.geteuid() == 0 else []


def _write_secret(path: Path, data: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(data)


def _free_ports(names: Sequence[str]) -> dict[str, int]:
    """Choose a port for each name, of those that nobody is bound to.

    The daemons take them only some seconds later: processes that start a cluster at the same time look at other ports first.
    """
    ports: dict[str, int] = {}
    start = 20 * os.getpid() % len(_PORTS)
    with ExitStack() as stack:
        for port in (*_PORTS[start:], *_PORTS[:start]):
            if len(ports) == len(names):
                return ports
            probe = stack.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports[names[len(ports)]] = port
    raise ClusterError(f"no port is free between {_PORTS.start} and {_PORTS.stop}")
