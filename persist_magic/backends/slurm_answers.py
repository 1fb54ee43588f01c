"""What Slurm's words mean: its programs' output to rows, and a row to what it proves.

Owns the tables of states and reasons (the STATE and REASON CODES sections of squeue(1)) and the parsers of squeue's and
sacct's output. Pure: text and numbers in, values out; runs nothing and reads no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..status import JobState, Observation, Word
from ..walltime import format_walltime, parse_walltime

SQUEUE_FORMAT = "%i|%T|%V|%e|%l|%N|%r|%k"
SACCT_FORMAT = "JobID,State,Submit,End,Timelimit,NodeList,ExitCode"

RECORD_SECONDS = 5.0
"""How long after Slurm's end of a job its own record may take to be seen."""
REQUEUE_SECONDS = 30.0
"""How long after a node's failure or a preemption Slurm may take to queue the job again."""
FILES_SECONDS = 60.0
"""How long files of another host may take to be seen: file servers cache for up to a minute (nfs(5), acdirmax)."""

_LIVE = {
    "PENDING": (Word.QUEUED, ""),
    "CONFIGURING": (Word.QUEUED, "its node is being made ready"),
    "REQUEUED": (Word.QUEUED, "requeued"),
    "REQUEUE_HOLD": (Word.QUEUED, "held after a requeue; scontrol release {id}"),
    "REQUEUE_FED": (Word.QUEUED, "requeued in the federation"),
    "SPECIAL_EXIT": (Word.QUEUED, "held after a special exit; scontrol release {id}"),
    "RUNNING": (Word.ALIVE, ""),
    "SUSPENDED": (Word.ALIVE, "suspended by Slurm"),
    "COMPLETING": (Word.ALIVE, "completing"),
    "RESIZING": (Word.ALIVE, "its size is being changed"),
    "SIGNALING": (Word.ALIVE, "being signalled"),
    "STAGE_OUT": (Word.ALIVE, "its data is being staged out"),
    "STOPPED": (Word.ALIVE, "stopped by a signal (SIGSTOP), its cores are kept"),
}

_AGAIN = "%persist_rerun {name} runs it again"
# Word of Slurm: the state it proves, why in words, and how long its record or a requeue may take. No state: the run's own
# files know better, if they say anything.
_ENDED: dict[str, tuple[JobState | None, str, float]] = {
    "COMPLETED": (None, "Slurm says that it completed, but it left no record of its end", FILES_SECONDS),
    "FAILED": (None, "its worker ended without a record of its end", FILES_SECONDS),
    "CANCELLED": (JobState.CANCELLED, "cancelled with scancel", RECORD_SECONDS),
    "TIMEOUT": (JobState.FAILED, "ran out of time{limit}; %persist_rerun {name} -- -t {longer}", RECORD_SECONDS),
    "OUT_OF_MEMORY": (
        JobState.FAILED,
        "out of memory, by Slurm's limit; %persist_rerun {name} -- --mem=MORE",
        RECORD_SECONDS,
    ),
    "NODE_FAIL": (JobState.FAILED, f"its node failed{{nodes}}; {_AGAIN}", REQUEUE_SECONDS),
    "PREEMPTED": (JobState.FAILED, f"preempted by a job of higher priority, not queued again; {_AGAIN}", REQUEUE_SECONDS),
    "BOOT_FAIL": (JobState.FAILED, f"its node could not be booted{{nodes}}; {_AGAIN}", REQUEUE_SECONDS),
    "DEADLINE": (JobState.FAILED, "its deadline came; %persist_rerun {name} -- --deadline=LATER", RECORD_SECONDS),
    "REVOKED": (JobState.CANCELLED, "revoked: another cluster of the federation has taken it", RECORD_SECONDS),
}

_REASONS = {
    "Resources": "waiting for resources",
    "Priority": "other jobs go first (priority)",
    "Dependency": "waiting for a job that it depends on",
    "DependencyNeverSatisfied": "its dependency can never be met",
    "BeginTime": "its time to begin has not come",
    "JobHeldUser": "held by its user; scontrol release {id}",
    "JobHeldAdmin": "held by an administrator",
    "JobArrayTaskLimit": "as many of its tasks run as may run at once",
    "Licenses": "waiting for a license",
    "Reservation": "waiting for its reservation",
    "ReqNodeNotAvail": "a node that it asks for is not available",
    "NodeDown": "a node that it asks for is down",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is not active",
    "PartitionNodeLimit": "it asks for another number of nodes than its partition allows",
    "PartitionTimeLimit": "it asks for more time than its partition allows",
    "PartitionConfig": "it asks for something that its partition does not allow",
    "BadConstraints": "no node can have what it asks for",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its quality of service is not valid",
    "NonZeroExitCode": "its last run ended with an error",
    "RaisedSignal": "its last run was ended by a signal",
    "SystemFailure": "the system failed",
    "JobLaunchFailure": "it could not be launched",
    "launch failed requeued held": "it could not be launched and is held; scontrol release {id}",
    "job requeued in held state": "held after a requeue; scontrol release {id}",
    "job requeued in special exit state": "held after a special exit; scontrol release {id}",
    "Prolog": "its prolog runs",
    "Cleaning": "its last run is being cleaned up",
    "NodesRebooting": "its nodes are being rebooted",
    "FedJobLock": "waiting for the federation",
    "BurstBufferResources": "waiting for the burst buffer",
    "BurstBufferStageIn": "its data is being staged in",
    "ReqNodeNotAvail, UnavailableNodes": "a node that it asks for is not available",
    "ReqNodeNotAvail, Reserved for maintenance": "nodes are reserved for maintenance",
}
_LARGEST_ARRAY = 4_000_001
"""The largest MaxArraySize that slurm.conf(5) allows."""
_LIMIT = re.compile(r"(?:Assoc|QOS|Qos).*(?:Limit|Max|Grp|Per)")
_TOKEN = re.compile(r"persist_magic:([0-9a-f]{32}):([0-9]{1,9})(?::([0-9]{1,9}))?")


def comment(token: str, run: int, of_user: str = "", first: int | None = None) -> str:
    """Return the comment by which a submission is found again, behind the user's own.

    Parameters
    ----------
    first : int, optional
        Of an array of a sweep's chunks: the number of its first chunk.
    """
    return f"{of_user} persist_magic:{token}:{run}{'' if first is None else f':{first}'}".strip()


@dataclass(frozen=True)
class Row:
    """What squeue or sacct says of one job.

    Attributes
    ----------
    state : str
        Slurm's word, without what follows it.
    submitted, end : float or None
        Seconds since the epoch.
    limit : float or None
        Wall time in seconds; None if there is no limit, or none is told.
    mark : (token, run) or None
        From the comment of a job of ours.
    first : int
        From the same: of an array, which chunk its first job runs.
    source : str
        The program that said so.
    detail : str
        What else it says: the reason, or the exit code.
    """

    id: str
    state: str
    submitted: float | None
    end: float | None
    limit: float | None
    nodes: str
    mark: tuple[str, int] | None
    source: str
    detail: str
    first: int = 0

    @property
    def never_began(self) -> bool:
        """Whether it was cancelled while it waited. Slurm has one row for an array of which that is so as a whole."""
        return self.state == "CANCELLED" and self.nodes in ("", "None assigned")


def _seconds_since_epoch(text: str) -> float | None:
    return float(text) if text.isdecimal() else None


def _first_word(state: str) -> str:
    """ "CANCELLED by 1000" and "CANCELLED+" are CANCELLED."""
    return state.partition(" ")[0].rstrip("+")


def array_of(id: str) -> str:
    """Return the id of the array that a job belongs to, or its own: "7" for "7_3" and for "7"."""
    return id.partition("_")[0]


def parse_squeue(text: str) -> dict[str, Row]:
    """Return the rows of ``squeue -h -o SQUEUE_FORMAT``, times since the epoch, by id; other lines do not count."""
    rows = {}
    for line in text.split("\n"):
        fields = line.split("|", 7)
        if len(fields) != 8 or not re.fullmatch(r"\d+(?:_.+)?", fields[0], re.ASCII):
            continue
        id, state, submitted, end, limit, nodes, reason, note = fields
        found = _TOKEN.search(note)
        rows[id] = Row(
            id=id,
            state=_first_word(state),
            submitted=_seconds_since_epoch(submitted),
            end=_seconds_since_epoch(end),
            limit=parse_walltime(limit),
            nodes=nodes,
            mark=(found[1], int(found[2])) if found else None,
            source="squeue",
            detail=reason,
            first=int(found[3] or 0) if found else 0,
        )
    return rows


def parse_sacct(text: str) -> dict[str, Row]:
    """Return the rows of ``sacct -X -n -P -o SACCT_FORMAT``, by id.

    Ids come again after they have wrapped: of several rows the one submitted last counts.
    """
    rows: dict[str, Row] = {}
    for line in text.split("\n"):
        fields = line.split("|")
        if len(fields) != 7:
            continue
        ids, state, submitted, end, limit, nodes, exit_code = fields
        detail = f"{exit_code} {state.partition(' ')[2]}".strip()
        row = Row(
            id=ids,
            state=_first_word(state),
            submitted=_seconds_since_epoch(submitted),
            end=_seconds_since_epoch(end),
            limit=parse_walltime(limit),
            nodes=nodes,
            mark=None,
            source="sacct",
            detail=detail,
        )
        for id in _expanded(ids):
            if id not in rows or (row.submitted or 0.0) >= (rows[id].submitted or 0.0):
                rows[id] = replace(row, id=id)
    return rows


def _expanded(ids: str) -> Iterator[str]:
    """The ids that a row of sacct's stands for: "7", "7_3", or those of an array that never started, "7_[1,3-5%2]"."""
    if re.fullmatch(r"\d+(_\d+)?", ids, re.ASCII):
        yield ids
    elif match := re.fullmatch(r"(\d+)_\[([\d,:-]+)(?:%\d+)?\]", ids, re.ASCII):
        for part in match[2].split(","):
            if piece := re.fullmatch(r"(\d+)(?:-(\d+))?(?::(\d+))?", part):
                first, last, step = int(piece[1]), int(piece[2] or piece[1]), max(1, int(piece[3] or 1))
                last = min(last, first + _LARGEST_ARRAY)
                yield from (f"{match[1]}_{number}" for number in range(first, last + 1, step))


def reason_words(reason: str, id: str) -> str:
    """Return Slurm's reason for waiting in words that a person understands; one not known as Slurm says it."""
    if reason in ("", "None", "(null)"):
        return "waiting to be scheduled"
    known = _REASONS.get(reason) or _REASONS.get(reason.partition(",")[0])
    if known is not None:
        return known.format(id=id)
    if _LIMIT.match(reason) or "Limit" in reason:
        whose = "the quality of service's limit" if reason.startswith(("QOS", "Qos")) else "the account's limit"
        return f"{whose} is reached ({reason})"
    return f"Slurm says {reason}"


def _exit_words(detail: str) -> str:
    """What sacct's "code:signal" says of the worker."""
    match = re.match(r"(\d+):(\d+)", detail)
    if match is None or match[0] == "0:0":
        return ""
    return f" (signal {match[2]})" if match[2] != "0" else f" (exit code {match[1]})"


def is_live(row: Row) -> bool:
    """Whether the job waits or runs, as far as the word is known."""
    return row.state in _LIVE


def observation(
    row: Row, *, name: str, now: float, asked: float, first_seen: float, interrupted: bool, files_seen: bool = False
) -> Observation:
    """Return what a row proves of a run.

    Parameters
    ----------
    name : str
        The job's, for advice.
    now, asked, first_seen : float
        The present; when Slurm said so; when it first said that the job has ended. Seconds since the epoch.
    interrupted : bool
        Whether the run's own record says that a signal from outside ended it.
    files_seen : bool
        Whether what it wrote would be seen by now, for example because its worker ran on this host.
    """
    if row.state in _LIVE:
        word, words = _LIVE[row.state]
        words = words.format(id=row.id)
        if word is Word.QUEUED:
            return Observation(word, words or reason_words(row.detail, row.id), source=row.source, time=asked)
        starting = f"starting on {row.nodes}" if row.nodes else ""
        return Observation(word, starting, note=words, source=row.source, time=asked)
    if row.state not in _ENDED:
        return Observation(Word.UNKNOWN, f"Slurm says {row.state}, which is not known here", source=row.source, time=asked)
    state, words, patience = _ENDED[row.state]
    may_come_back = patience == REQUEUE_SECONDS
    if files_seen:
        patience = min(patience, REQUEUE_SECONDS if may_come_back else RECORD_SECONDS)
    since = row.end if row.end is not None and row.end <= now else first_seen
    if now - since < patience and (may_come_back or not interrupted):
        waited_for = "whether it runs again" if may_come_back else "its own record"
        note = f"Slurm says {row.state}; waiting for {waited_for}"
        return Observation(Word.ALIVE, note=note, source=row.source, time=asked)
    words = words.format(
        name=name,
        limit=f" after {format_walltime(row.limit)}" if row.limit else "",
        longer=format_walltime(2 * row.limit) if row.limit else "LONGER",
        nodes=f" ({row.nodes})" if row.nodes else "",
    )
    if row.state == "FAILED":
        words += _exit_words(row.detail)
    if row.state == "CANCELLED":
        if row.detail in _REASONS and row.detail.startswith("Dependency"):
            words = f"cancelled by Slurm: {_REASONS[row.detail]}"
        elif by := re.search(r"by (\d+)", row.detail):
            words += f" by user {by[1]}"
    return Observation(Word.GONE, words, state, source=row.source, time=since)
