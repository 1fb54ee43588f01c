"""Slurm's programs: how they are run, and how seldom.

Owns the environment in which they run, their time limits, and for each cluster one `Watch`: the last answers of squeue and
sacct, shared by all who ask in this process, and when the next question is polite. What the answers mean is told by
`slurm_answers`.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Collection, Mapping, Sequence

from ..errors import BackendError
from .slurm_answers import SACCT_FORMAT, SQUEUE_FORMAT, Row, array_of, is_live, parse_sacct, parse_squeue

ASK_SECONDS = 20.0
"""How long a question may take."""
POLITE_SECONDS = 5.5
"""The least time between two questions to a cluster: under 12 a minute."""
SOON_SECONDS = 1.0
"""The least time after a change that this process itself asked for."""
PATIENT_SECONDS = 60.0
"""The longest time between two questions while somebody wants to know."""

LARGEST_ARRAY = 1001
"""How many jobs an array may have if the cluster does not say: Slurm's default."""

# What a Slurm job hands on to the programs that it starts, which would be taken for the new job's: sbatch(1), OUTPUT
# ENVIRONMENT VARIABLES. What a site or a user sets for all jobs stays.
_OF_A_JOB = re.compile(r"SLURM_.*|SLURMD_.*|SBATCH_(?:CPU|MEM)_BIND.*|SRUN_.*|PMI_.*|PMI2_.*|PMIX_.*|OMPI_COMM_.*|PALS_.*")
_OF_THE_SITE = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_EXIT_ERROR", "SLURM_UMASK"})
_PARSED = frozenset({"squeue", "sacct"})
# What sbatch says when it has sent a job and heard nothing: the job may be in the queue (slurm_errno.h, 1000 and following).
_UNHEARD = re.compile(
    r"Socket timed out|Zero Bytes were transmitted|Unexpected message|Connection (?:reset|timed out)|Broken pipe"
)
_OF_OUTPUT = re.compile(r"SQUEUE_.*|SACCT_.*")


class Silent(Exception):
    """A program of Slurm's did not answer; the words say which and why."""


class Refused(Silent):
    """A program of Slurm's ended with an error of its own."""


def clean_environment(environment: Mapping[str, str], program: str) -> dict[str, str]:
    """Return the environment for a program of Slurm's.

    A session that itself runs inside a Slurm job has that job's variables, which would be taken for the new job's.
    """
    inside = "SLURM_JOB_ID" in environment
    kept = {
        name: value
        for name, value in environment.items()
        if not _OF_OUTPUT.fullmatch(name) and not (inside and name not in _OF_THE_SITE and _OF_A_JOB.fullmatch(name))
    }
    if program in _PARSED:  # times as seconds since the epoch, array tasks never cut; a job must not inherit that
        kept |= {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}
    return kept


class Program:
    """A program of Slurm's that has been started.

    Raises
    ------
    BackendError
        If there is no such program.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.name = words[0]
        try:
            self._process = subprocess.Popen(
                words,
                env=clean_environment(os.environ, self.name),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C for the session is not one for sbatch
            )
        except FileNotFoundError:
            why = f"there is no {self.name} here; on a cluster's login node there is, sometimes after module load slurm"
            raise BackendError("slurm", why) from None
        except OSError as error:
            raise BackendError("slurm", f"{self.name} cannot be run: {error.strerror or error}") from None

    def answer(self, text: bytes = b"", seconds: float = ASK_SECONDS) -> str:
        """Give it something to read; return what it prints.

        Raises
        ------
        Refused
            If it ends with an error.
        Silent
            If it does not end in time and is killed, or says that it heard nothing from Slurm.
        """
        try:
            output, errors = self._process.communicate(text, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Silent(f"{self.name} did not answer within {seconds:g} s") from None
        finally:
            self.end()
        if self._process.returncode != 0:
            words = f"{self.name}: {_error_words(errors) or f'exit code {self._process.returncode}'}"
            unheard = self._process.returncode < 0 or _UNHEARD.search(words)
            raise Silent(words) if unheard else Refused(words)
        return output.decode("utf-8", "replace")

    def end(self) -> None:
        """Kill it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()


def run(words: Sequence[str], seconds: float = ASK_SECONDS) -> str:
    """Run a program of Slurm's; return what it prints; see `Program` for what is raised."""
    return Program(words).answer(b"", seconds)


def on_cluster(cluster: str) -> list[str]:
    """Return the option that names a cluster; none for "", the one that SLURM_CONF names."""
    return [f"--clusters={cluster}"] if cluster else []


def _error_words(stderr: bytes) -> str:
    """What a program says on stderr, in one line without its own name."""
    lines = [
        re.sub(r"^\w+: (?:error|fatal): ", "", line.strip())
        for line in stderr.decode("utf-8", "replace").splitlines()
        if line.strip()
    ]
    return "; ".join(dict.fromkeys(lines))[:500]


class Watch:
    """What Slurm last said of this user's jobs on one cluster.

    Parameters
    ----------
    cluster : str
        As ``--clusters`` takes it; empty for the cluster that SLURM_CONF names.

    Attributes
    ----------
    asked : float or None
        When squeue last answered, seconds since the epoch.
    silence : str
        Why there is no newer answer; empty if the last question was answered.
    """

    def __init__(self, cluster: str) -> None:
        self._where = on_cluster(cluster)
        self.asked: float | None = None
        self.silence = ""
        self._rows: dict[str, Row] = {}
        self._ended: dict[str, Row] = {}  # by sacct's word, for good
        self._first_seen: dict[str, float] = {}
        self._last_listed: dict[str, float] = {}
        self._last = self._next = 0.0
        self._quiet_since = 0.0
        self._configuration: str | None = None
        self._question: threading.Thread | None = None
        self._lock = threading.Lock()

    def row(self, id: str) -> Row | None:
        """Return what was last said of a job; if its array was cancelled before it began, what was said of that."""
        return self._found(id, self._rows)

    def _found(self, id: str, rows: Mapping[str, Row]) -> Row | None:
        for known in (id, array_of(id)):
            row = rows.get(known) or self._ended.get(known)
            if row is not None and (known == id or row.never_began):
                return row
        return None

    def knows_others_of(self, id: str) -> bool:
        """Return whether others of the same array were listed when squeue or sacct last answered."""
        array = array_of(id)
        return array != id and any(array_of(known) == array for known in (*self._rows, *self._ended))

    def marked(self, token: str, run: int) -> Row | None:
        """Return the job that carries our mark in its comment."""
        return next((row for row in self._rows.values() if row.mark == (token, run)), None)

    def first_seen(self, row: Row) -> float:
        """Return when a job was first said to have ended."""
        return self._first_seen.setdefault(row.id, time.time())

    def last_listed(self, id: str) -> float:
        """Return when squeue last had the job in its answer, seconds since the epoch; 0 if it never had."""
        return self._last_listed.get(id, 0.0)

    def refresh(self, ids: Collection[str], *, at_once: bool = False, seconds: float | None = None) -> None:
        """Ask again if that is polite by now, in a thread of the question's own.

        Parameters
        ----------
        ids : collection of str
            The jobs that somebody wants to know of: sacct is asked for those that squeue has forgotten.
        at_once : bool
            Ask whatever the time, and not before now.
        seconds : float, optional
            How long to wait for the answer; None is until it is there, or given up.
        """
        if at_once:
            self._await_question(None)
        with self._lock:
            if self._question is None and (at_once or time.monotonic() >= self._next):
                name = f"persist_magic {' '.join(['squeue', *self._where])}"
                question = threading.Thread(target=self._put_question, args=(list(ids),), name=name, daemon=True)
                question.start()
                self._question = question
        self._await_question(seconds)

    def _await_question(self, seconds: float | None) -> None:
        question = self._question
        if question is not None:
            question.join(seconds)

    def _put_question(self, ids: Collection[str]) -> None:
        now, questions = time.monotonic(), 1
        before = {id: row.state for id in ids if (row := self.row(id)) is not None}
        try:
            questions = self._ask(ids)
        except Exception as error:  # noqa: BLE001  those who wait must be told
            self.silence = f"Slurm's answer cannot be read: {type(error).__name__}: {error}"
        finally:
            after = {id: row.state for id in ids if (row := self.row(id)) is not None}
            with self._lock:
                if before != after or not self._quiet_since:
                    self._quiet_since = now
                # the longer nothing happens, the less often
                pause = min(PATIENT_SECONDS, max(POLITE_SECONDS * questions, 0.05 * (now - self._quiet_since)))
                self._last = time.monotonic()
                self._next = self._last + pause
                self._question = None

    def expect_change(self) -> None:
        """Let the next question come soon: this process has just asked for a change."""
        with self._lock:
            self._quiet_since = time.monotonic()
            self._next = min(self._next, self._last + SOON_SECONDS)

    def _ask(self, ids: Collection[str]) -> int:
        """Put the questions; return how many there were."""
        begin = time.time()
        try:
            text = run(["squeue", "-h", "-r", "--me", "-t", "all", "-o", SQUEUE_FORMAT, *self._where])
        except (Silent, BackendError) as silence:
            self.silence = silence.why if isinstance(silence, BackendError) else str(silence)
            return 1
        rows, ended = parse_squeue(text), {}
        forgotten = [id for id in ids if self._found(id, rows) is None and re.fullmatch(r"\d+(_\d+)?", id)]
        if forgotten:
            ended = self._ask_sacct(forgotten)
        # both answers at once, and in this order, for those who read meanwhile: what squeue has forgotten is not gone
        self._ended = {**self._ended, **ended}
        self._last_listed.update(dict.fromkeys(rows, begin))
        self._rows, self.silence, self.asked = rows, "", begin
        return 2 if forgotten else 1

    def _ask_sacct(self, forgotten: Collection[str]) -> dict[str, Row]:
        """Return what accounting says of jobs that have ended; nothing if it does not answer."""
        # the first day of all: without it sacct forgets at midnight
        words = [
            "sacct",
            "-X",
            "-n",
            "-P",
            "-S",
            "1970-01-02",
            "-o",
            SACCT_FORMAT,
            "-j",
            ",".join(sorted(set(map(array_of, forgotten)))),
        ]
        try:
            rows = parse_sacct(run([*words, *self._where]))
        except (Silent, BackendError):  # it may be missing, forbidden or hours behind: no evidence
            return {}
        return {id: row for id, row in rows.items() if not is_live(row)}

    def arrays(self, token: str, run: int) -> dict[int, str]:
        """Return the ids of the arrays that carry our mark in their comment, by their first chunks."""
        return {row.first: array_of(row.id) for row in self._rows.values() if row.mark == (token, run)}

    def _configured(self, name: str, what: str) -> str:
        """A value of the cluster's configuration, which is asked for once; "" if it does not say."""
        if self._configuration is None:
            try:
                self._configuration = run(["scontrol", "show", "config", *self._where])
            except (Silent, BackendError):
                return ""
        match = re.search(rf"^{name}\s*=\s*({what})", self._configuration, re.MULTILINE)
        return match[1] if match else ""

    def name(self) -> str:
        """Return the name of the cluster that answers here, or "" if it does not say."""
        return self._configured("ClusterName", r"\S+")

    def description(self) -> str:
        """Return the cluster that answers here, Slurm's version, and the partitions, the default one marked with ``*``."""
        words = [f"cluster {self.name() or 'without a name'}"]
        if version := self._configured("SLURM_VERSION", r"\S+"):
            words.append(f"Slurm {version}")
        with contextlib.suppress(Silent, BackendError):
            partitions = dict.fromkeys(run(["sinfo", "-h", "-o", "%P", *self._where]).split())
            words.append(f"partitions {' '.join(partitions) or 'none'}")
        return ", ".join(words)

    def largest_array(self) -> int:
        """Return how many jobs an array may have (slurm.conf(5), MaxArraySize); Slurm's default if that is not told."""
        return int(self._configured("MaxArraySize", r"\d+") or LARGEST_ARRAY)
