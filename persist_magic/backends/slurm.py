"""Jobs under Slurm.

Owns what sbatch is told, how a submission whose answer was lost is found again, and which of Slurm's words count for a run.
The programs are run by `slurm_programs`, their words explained by `slurm_answers`.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from traitlets import Float, Unicode
from traitlets import List as ListTrait
from traitlets.config import Configurable

from ..errors import BackendError, Unconfirmed
from ..files import open_regular
from ..findings import Finding, Verdict
from ..status import JobState, Observation, Word, heartbeat_is_fresh
from ..store import (
    CHUNK,
    CLUSTER,
    SCHEDULER_ID,
    TIME_LEFT,
    Handle,
    JobDirectory,
    JobSpec,
    RunDirectory,
    Submitted,
    told,
    write_atomic,
)
from .base import Launch, Predecessor, Query, Tasks
from .local import launch_words, observe
from .script import script
from .slurm_answers import FILES_SECONDS, Row, array_of, comment, is_live, observation
from .slurm_programs import Program, Refused, Silent, Watch, on_cluster
from .slurm_programs import run as run_program

LOST_SECONDS = 300.0
"""How long a submission that nobody confirmed may still turn up in the queue."""

TASKS_ALONE, MOST_CHUNKS = 256, 48
"""Up to so many tasks each is a chunk of its own, and its job's wall time its own; of more so many chunks are made."""

_NO_CLUSTER = "configuration source"
"""What all of Slurm's programs say where there is no slurm.conf, nor a server that has it: "Could not establish a …"."""

# In job.sh: the chunk's number, which is also that of its job in the array; of a later array it is counted on.
_ARRAY = [
    '    if [ -n "${SLURM_ARRAY_TASK_ID-}" ]; then',
    "        id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID",
    f"        export {CHUNK}=$((first + SLURM_ARRAY_TASK_ID))",
    "    fi",
]

# sbatch(1) of Slurm 22.05 to 24.11: the options that take no word after them, and those that would make it do something else
# than submit one script and return.
_FLAGS = frozenset(
    {
        "--contiguous",
        "--exclusive",
        "--get-user-env",
        "--hold",
        "--ignore-pbs",
        "--no-kill",
        "--no-requeue",
        "--nice",
        "--oversubscribe",
        "--overcommit",
        "--quiet",
        "--reboot",
        "--requeue",
        "--spread-job",
        "--use-min-nodes",
        "--verbose",
        "--propagate",
        "--stepmgr",
        "-H",
        "-k",
        "-O",
        "-Q",
        "-s",
        "-v",
    }
)
_REFUSED = {
    "--wrap": "the script is job.sh",
    "--wait": "%persist_wait waits",
    "-W": "%persist_wait waits",
    "--array": "--each, before the --, makes a sweep of a cell",
    "-a": "--each, before the --, makes a sweep of a cell",
    "--help": "%%persist? tells of ours, man sbatch of Slurm's",
    "-h": "%%persist? tells of ours, man sbatch of Slurm's",
    "--usage": "man sbatch tells",
    "--version": "sbatch --version in a shell tells",
    "-V": "sbatch --version in a shell tells",
    "--test-only": "nothing would be submitted",
}
_SUBMIT_OPTION = re.compile(r"#SBATCH\s")


def _checked(options: Sequence[str]) -> list[str]:
    """sbatch's options, without what is none: a bare word would be taken for the script."""
    takes = False
    for option in options:
        if "\n" in option or "\0" in option:
            raise BackendError("slurm", f"{option!r} is no option of sbatch: it has a line break in it")
        if not option.startswith("-") or option == "-":
            if not takes:
                raise BackendError(
                    "slurm", f"{option!r} is no option of sbatch; after -- stand options only, as -p gpu -t 4:00:00"
                )
            takes = False
            continue
        word = option.partition("=")[0] if option.startswith("--") else option[:2]
        if any(each.startswith(word) for each in _REFUSED):  # sbatch takes abbreviations
            why = _REFUSED.get(word) or "write options of sbatch in full"
            raise BackendError("slurm", f"{word} cannot be used here: {why}")
        takes = word not in _FLAGS and (option == word)
    return list(options)


def _value(options: Sequence[str], long: str, short: str = "") -> str:
    """The last value that an option of sbatch is given, or ""."""
    value = ""
    for index, option in enumerate(options):
        if option in (long, short) and index + 1 < len(options):
            value = options[index + 1]
        elif option.startswith(f"{long}="):
            value = option.partition("=")[2]
        elif short and option.startswith(short) and not option.startswith("--") and len(option) > 2:
            value = option[2:]
    return value


def directives(code: str) -> list[str]:
    """Return the ``#SBATCH`` lines at the top of a cell: before its first statement, among other comments."""
    found = []
    for line in code.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            break
        if _SUBMIT_OPTION.match(line):
            found.append(line.rstrip())
    return found


class SlurmBackend(Configurable):
    """Runs jobs under Slurm, through sbatch, squeue, sacct, scancel and scontrol."""

    name = "slurm"
    options = Unicode(
        "",
        help="Options of sbatch for every job, for example '-A project -p gpu'. #SBATCH lines of a cell and what follows -- "
        "stand above them.",
    ).tag(config=True)
    setup = ListTrait(
        Unicode(),
        help="Lines of shell that job.sh runs before the worker, for example ['module load cuda']; bash then runs it as a "
        "login shell.",
    ).tag(config=True)
    timeout = Float(
        45.0, min=1.0, help="How long sbatch may take, in seconds; then the submission is looked up in the queue."
    ).tag(config=True)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._watches: dict[str, Watch] = {}
        self._runs: dict[tuple[str, int], Submitted] = {}

    def _watch(self, cluster: str) -> Watch:
        return self._watches.setdefault(cluster, Watch(cluster))

    # ---- submitting

    def settings(
        self, options: Sequence[str], after: Sequence[Predecessor] = (), tasks: Tasks | None = None
    ) -> dict[str, Any]:
        every = [*_checked(_split(self.options)), *_checked(options)]
        clusters = _value(every, "--clusters", "-M")
        for each in after:
            if each.backend != self.name or each.cluster != clusters:
                where = (
                    f"on this machine ({each.backend})"
                    if each.backend != self.name
                    else f"on cluster {each.cluster or 'of this session'}"
                )
                why = f"a Slurm job cannot wait for {each.name}, which runs {where}; %persist_wait {each.name} first"
                raise BackendError(self.name, why)
        found = {"clusters": clusters, "dependency": [id for each in after for id in each.id.split(",")]}
        return found if tasks is None else {**found, **self._divided(tasks, clusters)}

    def _divided(self, tasks: Tasks, clusters: str) -> dict[str, Any]:
        """How tasks are grouped to chunks, each a job of an array, and these to arrays."""
        alone = tasks.count <= TASKS_ALONE
        size = tasks.chunk or (1 if alone else -(-tasks.count // MOST_CHUNKS))
        chunks, largest = -(-tasks.count // size), self._watch(clusters).largest_array()
        if largest < 1:
            raise BackendError(self.name, "this cluster allows no job arrays (MaxArraySize), which a sweep needs")
        arrays = [min(largest, chunks - first) for first in range(0, chunks, largest)]
        return {"chunk": size, "arrays": arrays, "limit": tasks.limit}

    def script(self, directory: JobDirectory, spec: JobSpec) -> str:
        head = [f"#SBATCH --job-name={spec.name}"]
        if spec.ranks:
            head.append(f"#SBATCH --ntasks={spec.ranks}")
        if words := _split(self.options):
            head.append(f"#SBATCH {shlex.join(words)}")
        for line in directives(spec.code):
            words = _checked(_split(line.removeprefix("#SBATCH")))
            if _value(words, "--comment"):
                raise BackendError(self.name, "--comment stands in an #SBATCH line of the cell; write it after --")
            head.append(line)
        before = [
            *(["first=0"] if spec.tasks else []),
            "# The directory was written on another machine: a shared file system may show it late.",
            "tries=0",
            'until [ -e "$job/job.json" ] || [ "$tries" -ge 240 ]; do tries=$((tries + 1)); sleep 0.5; done',
            "# Only what Slurm started itself, and not a shell inside a job, is found again by Slurm's id.",
            'if [ -n "${SLURM_JOB_ID-}" ] && [ "${SLURM_TASK_PID-}" = "$$" ]; then',
            '    exec >>"$job/launch.log" 2>&1',
            "    id=$SLURM_JOB_ID",
            *(_ARRAY if spec.tasks else []),
            f'    export {SCHEDULER_ID}="$id" {CLUSTER}="${{SLURM_CLUSTER_NAME-}}"',
            f'    export {TIME_LEFT}="squeue -h -j $id -o %L"',
            "fi",
            # since Slurm 22.05 srun does not take the cores of a task from sbatch's --cpus-per-task
            *(['export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK-1}"'] if spec.ranks else []),
            *(line for lines in self.setup for line in lines.splitlines()),
        ]
        launcher = ["srun", f"--ntasks={spec.ranks}", "--kill-on-bad-exit=1", *spec.mpi_options]
        shell = "/bin/bash -l" if self.setup else "/bin/sh"
        return script(directory, spec, launcher, shell=shell, directives=head, before=before)

    def prepare(
        self, directory: JobDirectory, token: str, run: int, options: Sequence[str], settings: Mapping[str, Any]
    ) -> Launch:
        words = [
            "sbatch",
            "--parsable",
            # job.sh writes its own log: the directory may be seen late where it runs
            "--output=/dev/null",
            "--open-mode=append",
            f"--chdir={directory.path}",
            *options,
        ]
        if settings["dependency"]:
            of_user = _value(options, "--dependency", "-d")
            dependency = ",".join(filter(None, (of_user, f"afterok:{':'.join(settings['dependency'])}")))
            words += [f"--dependency={dependency}", "--kill-on-invalid-dep=yes"]
        of_user = _value(options, "--comment")

        def command(first: int | None) -> list[str]:
            return [*words, f"--comment={comment(token, run, of_user, first)}"]

        watch = self._watch(str(settings["clusters"]))
        return _SlurmLaunch(command, {**settings, "cluster": watch.name()}, watch, self.timeout)

    # ---- asking

    def _submitted(self, query: Query) -> Submitted | None:
        """How a run was asked for, which never changes, and which each of the many chunks of a sweep wants to know."""
        key = query.spec.token, query.run.number
        if key not in self._runs:
            found = query.run.submitted()
            if found is None:
                return None
            self._runs[key] = found
        return self._runs[key]

    def _place(self, query: Query) -> tuple[str, str]:
        """Slurm's id of a run, or "", and the cluster to ask, or "" for the present one."""
        handle, started = query.handle, query.started
        cluster = handle.cluster if handle is not None else ""
        if started is not None and started.scheduler_id:
            return started.scheduler_id, cluster
        submitted = self._submitted(query) if handle is None or query.chunk is not None else None
        if handle is not None:
            return (handle.id if query.chunk is None else _id_of_chunk(handle.id, submitted, query.chunk)), cluster
        return "", str(submitted.settings.get("clusters", "")) if submitted is not None else ""

    def poll(self, queries: Sequence[Query], seconds: float | None = None) -> list[Observation]:
        found: list[Observation | None] = [None] * len(queries)
        waiting: dict[str, list[tuple[int, str]]] = {}
        for index, query in enumerate(queries):
            if query.started is not None and not query.started.scheduler_id:
                found[index] = observe(query)  # job.sh was run by hand
            elif query.evidence.ended is None and heartbeat_is_fresh(query.evidence):
                found[index] = Observation(Word.UNKNOWN)  # the files tell
            else:
                id, cluster = self._place(query)
                waiting.setdefault(cluster, []).append((index, id))
        for cluster, asked in waiting.items():
            watch = self._watch(cluster)
            known = watch.asked if watch.asked is not None and not watch.silence else math.inf
            if any(_last_sign(queries[index]) > known for index, _ in asked):
                watch.expect_change()  # a run has ended, or fallen silent, since Slurm was asked
            watch.refresh([id for _, id in asked if id], seconds=seconds)
            for index, id in asked:
                found[index] = self._observe(queries[index], id, cluster, watch)
        return [each for each in found if each is not None]

    def _observe(self, query: Query, id: str, cluster: str, watch: Watch) -> Observation:
        if watch.asked is None or watch.asked < _last_sign(query):  # what Slurm said is older than what the files say
            return Observation(Word.UNKNOWN, watch.silence)
        submitted = query.handle.time if query.handle is not None else query.evidence.submitted
        row = watch.row(id) if id else self._marked(query, watch)
        if row is not None and row.submitted is not None and row.submitted < submitted - FILES_SECONDS and row.mark is None:
            row = None  # ids come again after they have wrapped: that one is another job
        if row is not None and row.mark is not None and row.mark[0] != query.spec.token:
            row = None
        if row is None:
            return self._unlisted(query, id, watch, submitted)
        if not id:
            self._keep_found(query, row, cluster)
        # the log of a script that ended before its worker stood: then there is no other file to wait for
        alone = query.started is None and query.chunk is None  # a sweep's chunks write into the same log
        words = launch_words(query.job) if alone and not is_live(row) else ""
        said = observation(
            row,
            name=query.job.name,
            now=time.time(),
            asked=watch.asked,
            first_seen=watch.first_seen(row) if not is_live(row) else time.time(),
            interrupted=query.evidence.ended is not None,
            files_seen=bool(words) or (query.started is not None and observe(query).word is Word.GONE),
        )
        if said.word is Word.GONE and said.state is None and words:
            said = Observation(Word.GONE, words, source=said.source, time=said.time)
        if watch.silence and said.word in (Word.QUEUED, Word.ALIVE):
            note = "; ".join(filter(None, (said.note, watch.silence)))
            said = Observation(said.word, said.reason, said.state, note, said.source, said.time)
        return said

    @staticmethod
    def _marked(query: Query, watch: Watch) -> Row | None:
        """The row of a run of which Slurm's id is not known, by our mark."""
        if query.chunk is None:
            return watch.marked(query.spec.token, query.run.number)
        arrays = watch.arrays(query.spec.token, query.run.number)
        first = max((first for first in arrays if first <= query.chunk), default=None)
        return watch.row(f"{arrays[first]}_{query.chunk - first}") if first is not None else None

    def _keep_found(self, query: Query, row: Row, cluster: str) -> None:
        """Keep the id that was found; of a sweep of several arrays each chunk's is found anew."""
        submitted = self._submitted(query)
        if query.chunk is None:
            _keep_handle(query.job, Handle(self.name, query.run.number, time.time(), row.id, None, cluster))
        elif submitted is not None and len(submitted.settings.get("arrays", ())) == 1:
            whole = Handle(self.name, query.run.number, time.time(), array_of(row.id), None, cluster)
            _keep_handle(query.job, whole)

    def _unlisted(self, query: Query, id: str, watch: Watch, submitted: float) -> Observation:
        """What it means that neither squeue nor sacct has a job."""
        assert watch.asked is not None
        if watch.asked < submitted + 1.0 or watch.silence:
            return Observation(Word.UNKNOWN, watch.silence)  # squeue was asked before the job was there
        age = watch.asked - submitted
        if not id:
            if age < LOST_SECONDS:
                return Observation(Word.UNKNOWN, "squeue does not list it yet")
            if query.chunk is not None and query.handle is not None:  # others were submitted
                words = "it was never submitted: the session ended while it submitted the sweep"
                return Observation(Word.GONE, words, JobState.FAILED, source="squeue", time=watch.asked)
            return Observation(Word.ABSENT, source="squeue", time=watch.asked)
        known_on = query.started.cluster if query.started is not None else ""
        if not known_on and (asked_for := self._submitted(query)) is not None:
            known_on = str(asked_for.settings.get("cluster", ""))
        if known_on and watch.name() not in ("", known_on):
            return Observation(Word.UNKNOWN, f"it belongs to cluster {known_on}, which cannot be asked from here")
        if os.stat(query.job.path).st_uid != os.geteuid():
            return Observation(Word.UNKNOWN, "it is another user's, whose jobs squeue does not list here")
        last_life = max(submitted, watch.last_listed(id), query.evidence.heartbeat or 0.0)
        if watch.asked - last_life < FILES_SECONDS:
            return Observation(Word.UNKNOWN, "squeue no longer lists it; its files may come late")
        if query.chunk is not None and query.started is None and watch.knows_others_of(id):
            # one that is removed before it began is in no list any more, also not in sacct's
            words = "removed from the queue before it began (scancel)"
            return Observation(Word.GONE, words, JobState.CANCELLED, source="squeue", time=watch.asked)
        words = "Slurm no longer knows it, and it left no record of its end"
        return Observation(Word.GONE, words, source="squeue", time=watch.asked)

    def cancel(self, query: Query, force: bool) -> None:
        """Let the supervisor carry it out; what has not started, or is forced, is Slurm's to end."""
        id, cluster = self._place(query)
        sweep = query.spec.tasks > 0 and query.chunk is None
        if sweep and query.handle is not None:
            id = query.handle.id
        if not id or (sweep and query.handle is None):
            watch = self._watch(cluster)
            watch.refresh((), at_once=True)
            ids = watch.arrays(query.spec.token, query.run.number)
            if not ids:
                return  # should it be there all the same, its worker will find the request
            id = ",".join(ids.values())
        runs = query.started is not None and query.evidence.ended is None and heartbeat_is_fresh(query.evidence)
        how = ["--batch", "--signal=TERM"] if runs and not force else []
        if sweep and not force:
            # The supervisors of chunks that run find the request. Not for a single one: with --state Slurm 22.05 takes all
            # those of its array that wait
            how = ["--state=PENDING"]
        try:
            run_program(["scancel", *how, *on_cluster(cluster), *id.split(",")])
            self._watch(cluster).expect_change()
        except Refused as refusal:
            watch = self._watch(cluster)
            watch.refresh([id], at_once=True)
            row = watch.row(id)
            if watch.silence or (row is not None and is_live(row)):  # else it has ended meanwhile
                raise BackendError(self.name, f"cancel of {query.job.name} was not passed on: {refusal}") from None
        except Silent as silence:
            why = f"{silence}; the request is kept, and the job will see it when it runs; cancel again later"
            raise BackendError(self.name, f"cancel of {query.job.name} was not passed on: {why}") from None

    def info(self, query: Query) -> dict[str, Any]:
        """Return what ``scontrol show job`` tells: its keys and values, as text; empty if Slurm does not know the job.

        Of a sweep what it tells of one of its chunks.
        """
        id, cluster = self._place(query)
        if not id:
            return {}
        try:
            text = run_program(["scontrol", "-o", "show", "job", id.partition(",")[0], *on_cluster(cluster)])
        except (Silent, BackendError):
            return {}
        return parse_scontrol(text.strip().partition("\n")[0])  # of an array a line each

    # ---- being examined

    def examine(self) -> Iterator[Finding]:
        """Yield whether Slurm's programs answer, and which cluster it is."""
        begin = time.monotonic()
        try:
            run_program(["squeue", "-h", "--me", "-o", "%i"])
        except Silent as silence:
            if _NO_CLUSTER in str(silence):
                raise BackendError(self.name, "its programs are there, but know no cluster (SLURM_CONF)") from None
            advice = "nothing can be submitted until it does; sinfo in a shell tells the same, the cluster's operators why"
            yield Finding(self.name, Verdict.TROUBLE, f"the cluster does not answer: {silence}", advice)
            return
        took = time.monotonic() - begin
        yield Finding(self.name, Verdict.OK, f"{self._watch('').description()}; squeue answers in {took:.2g} s")
        try:
            run_program(["sacct", "-X", "-n", "-P", "-S", "now-1minutes", "-o", "JobID"])
        except (Silent, BackendError) as silence:
            words = f"no accounting ({silence}): what squeue has forgotten is told by the jobs' own files alone"
            yield Finding(self.name, Verdict.FACT, words)
        else:
            yield Finding(self.name, Verdict.OK, "sacct answers, too: it knows how a job ended when squeue has forgotten it")
        if words := " ".join(_split(self.options)):
            yield Finding(self.name, Verdict.FACT, f"SlurmBackend.options, for every job: {words}")


class _SlurmLaunch(Launch):
    """A run that is going to be submitted: sbatch has been started and waits for the script."""

    def __init__(
        self, command: Callable[[int | None], list[str]], settings: Mapping[str, Any], watch: Watch, timeout: float
    ) -> None:
        self._command, self._settings, self._watch, self._timeout = command, settings, watch, timeout
        self._arrays: list[int] = settings.get("arrays", [])
        self._sbatch = Program(self._words(0, ""))
        self._cluster = ""

    def _words(self, number: int, before: str) -> list[str]:
        """What is run to submit an array, or the one job; `before` is the id of the array before it."""
        if not self._arrays:
            return self._command(None)
        words, limit = self._command(sum(self._arrays[:number])), self._settings["limit"]
        words.append(f"--array=0-{self._arrays[number] - 1}{f'%{limit}' if limit else ''}")
        if limit and before:  # so that no more run at once
            of_user = _value(words, "--dependency", "-d")
            words.append(f"--dependency={','.join(filter(None, (of_user, f'afterany:{before}')))}")
        return words

    def reserve(self) -> dict[str, Any]:
        return dict(self._settings)

    def abandon(self) -> None:
        self._sbatch.end()

    def start(self, directory: JobDirectory, run: RunDirectory) -> Handle:
        with told("read", directory.script_path), open_regular(directory.script_path) as file:
            script = file.read()
        begin = time.time()
        self.taken = True
        ids = [self._submit(directory, run, script, 0)]
        handle = _keep_handle(directory, Handle("slurm", run.number, begin, ids[0], None, self._cluster))
        for number in range(1, len(self._arrays)):
            first = sum(self._arrays[:number])
            later = script.replace(b"\nfirst=0\n", b"\nfirst=%d\n" % first)
            try:
                self._sbatch = Program(self._words(number, ids[-1]))
                ids.append(self._submit(directory, run, later, number))
            except Unconfirmed:
                raise  # the queue will tell
            except BackendError as refusal:
                self._take_back(directory, ids, refusal)
                raise
            handle = _keep_handle(directory, replace(handle, id=",".join(ids)))
        return handle

    def _submit(self, directory: JobDirectory, run: RunDirectory, script: bytes, number: int) -> str:
        """Give sbatch the script; return Slurm's id."""
        try:
            answer = self._sbatch.answer(script, self._timeout).strip()
        except Refused as refusal:
            self.taken = number > 0
            many = f"; with a larger --chunk it is fewer than {sum(self._arrays)} jobs" if self._arrays else ""
            raise BackendError("slurm", f"job {directory.name} was not taken: {refusal}{many}") from None
        except Silent as silence:
            return self._found_again(directory, run, silence, number)
        self._watch.expect_change()
        id, _, self._cluster = answer.rpartition("\n")[2].partition(";")
        if not id.isdecimal():
            raise Unconfirmed("slurm", directory.name, f"sbatch answered {answer[:80]!r}")
        return id

    def _found_again(self, directory: JobDirectory, run: RunDirectory, silence: Silent, number: int) -> str:
        """sbatch was not heard of: the queue tells whether the job is in it."""
        self._watch.refresh((), at_once=True)
        found = self._watch.arrays(directory.spec().token, run.number).get(sum(self._arrays[:number]))
        if found is None:
            why = f"{silence}, and {self._watch.silence or 'squeue does not list it yet'}"
            raise Unconfirmed("slurm", directory.name, why)
        self._cluster = str(self._settings["clusters"])
        return found

    def _take_back(self, directory: JobDirectory, ids: Sequence[str], refusal: BackendError) -> None:
        """Remove the arrays of a sweep of which another one was not taken."""
        try:
            run_program(["scancel", *on_cluster(str(self._settings["clusters"])), *ids])
        except (Silent, BackendError) as silence:
            why = f"{refusal.why}; the arrays before it, {', '.join(ids)}, could not be removed: {silence}"
            raise Unconfirmed("slurm", directory.name, why) from None
        self.taken = False


def _id_of_chunk(ids: str, submitted: Submitted | None, chunk: int) -> str:
    """Slurm's id of a chunk, from those of its sweep's arrays."""
    arrays = submitted.settings.get("arrays", ()) if submitted is not None else ()
    for id, size in zip(ids.split(","), arrays, strict=False):
        if chunk < size:
            return f"{id}_{chunk}"
        chunk -= size
    return ""


def _last_sign(query: Query) -> float:
    """When the run's files last said something, seconds since the epoch; 0 if it has not started."""
    e = query.evidence
    return max(e.started.time if e.started else 0.0, e.ended.time if e.ended else 0.0, min(e.heartbeat or 0.0, e.now))


def _keep_handle(directory: JobDirectory, handle: Handle) -> Handle:
    with contextlib.suppress(OSError):  # the worker writes it too, and the queue has the mark
        write_atomic(directory.handle_path, handle.to_bytes(), sync=False)
    return handle


def parse_scontrol(text: str) -> dict[str, Any]:
    """Return the keys and values of ``scontrol -o show job``; values may hold spaces and further "="."""
    parts = re.split(r"(?:^|\s)([A-Z][A-Za-z:/_]*)=", text.strip())
    return {
        key: value.strip()
        for key, value in zip(parts[1::2], parts[2::2], strict=True)
        if value.strip() not in ("", "(null)")
    }


def _split(text: str) -> list[str]:
    """The words of options that stand in a setting or an #SBATCH line."""
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        raise BackendError("slurm", f"{error} in the options {text!r}") from None
