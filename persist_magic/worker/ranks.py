"""MPI: the cell in several processes.

Owns how mpiexec or srun is started, how a rank finds its number and runs the cell, and what the ranks' outcomes amount to.
Rank 0 speaks for the run: its streams, result and variables are the run's; each other rank has a folder with its streams.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Iterable
from dataclasses import replace

from ..store import JOB_DIRECTORY, LAUNCHER, RANK, RUN, JobDirectory, Outcome, RunDirectory, write_atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# Open MPI, PMIx, MPICH and its kin; srun's own comes last: a session inside a Slurm job has that one, too
_RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")


def launch(run: RunDirectory, blocked: Iterable[int]) -> NoReturn:
    """Become the program that starts the ranks; in the supervisor's child."""
    words = [
        *shlex.split(os.environ.get(LAUNCHER, "mpiexec")),
        sys.executable,
        _worker(),
        "--rank",
        run.job.path,
        str(run.number),
    ]
    for number in blocked:
        signal.signal(number, signal.SIG_DFL)
    for name in _RANK_VARIABLES:  # those of a session that is itself a rank
        os.environ.pop(name, None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        print(f"persist_magic: {words[0]} cannot be run: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(127)


def _worker() -> str:
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")


def own_rank(environment: dict[str, str]) -> int:
    """Return this process's rank, as the program that started it tells; 0 if it does not."""
    for name in _RANK_VARIABLES:
        if environment.get(name, "").isdecimal():
            return int(environment[name])
    return 0


def main(arguments: list[str]) -> int:
    """Be a rank: ``--rank DIRECTORY RUN``."""
    _, path, number = arguments
    rank = own_rank(dict(os.environ))
    job = JobDirectory(path, os.path.basename(path))
    job.hold()
    run = RunDirectory(job, int(number), rank)
    os.environ.update({JOB_DIRECTORY: path, RUN: number, RANK: str(rank)})
    with contextlib.suppress(FileExistsError):
        os.mkdir(run.path, 0o700)
    from .execution import run_child

    run_child(job, run, job.spec(), ())


def common_outcome(run: RunDirectory, ranks: int, exit_code: int | None) -> Outcome | None:
    """Return what the ranks' outcomes amount to: rank 0's, unless another rank failed or ended without a word.

    A failure becomes the run's outcome, with rank 0's values.

    Parameters
    ----------
    exit_code : int or None
        Of the program that started them; None if a signal ended it.
    """
    own = run.outcome()
    if own is not None and own.outcome == "failed":
        return own
    failed = _failed_rank(run, ranks)
    if failed is None and own is not None and exit_code != 0:
        silent = [str(rank) for rank in range(1, ranks) if run.of_rank(rank).outcome() is None]
        who = f"rank {', '.join(silent)}" if silent else "a rank"
        words = f"{who} ended badly without a word of its own (exit code {exit_code})"
        failed = replace(own, outcome="failed", reason=words)
    if failed is None:
        return own
    if own is not None:
        failed = replace(failed, result=own.result, variables=own.variables)
    with contextlib.suppress(OSError):  # a full disk: the verdict counts all the same
        write_atomic(run.outcome_path, failed.to_bytes())
    return failed


def _failed_rank(run: RunDirectory, ranks: int) -> Outcome | None:
    for rank in range(1, ranks):
        outcome = run.of_rank(rank).outcome()
        if outcome is not None and outcome.outcome == "failed":
            return replace(outcome, reason=f"rank {rank}: {outcome.reason}")
    return None
