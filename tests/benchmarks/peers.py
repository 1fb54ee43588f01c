"""The peers that run functions elsewhere, each as its users write it.

Owns how they are opened, asked and closed. They come with the extra ``bench``; to open one that is not installed raises ImportError.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .measure import CORES, NOT_INSTALLED, Peer, joined


@dataclass(frozen=True)
class Tool:
    """A peer that is open: `call` runs one function elsewhere, `map` many; both return when there are all results."""

    call: Callable[..., Any]
    map: Callable[..., list[Any]]


Maker = Callable[[Path], AbstractContextManager[Tool]]


def _submitit(executor: Any) -> Tool:
    return Tool(
        call=lambda function, *arguments: executor.submit(function, *arguments).result(),
        map=lambda function, *lists: [job.result() for job in executor.map_array(function, *lists)],
    )


@contextlib.contextmanager
def submitit_local(folder: Path) -> Iterator[Tool]:
    import submitit

    yield _submitit(submitit.LocalExecutor(folder=folder / "submitit"))


@contextlib.contextmanager
def submitit_slurm(folder: Path) -> Iterator[Tool]:
    import submitit

    executor = submitit.SlurmExecutor(folder=folder / "submitit-slurm")
    executor.update_parameters(time=10)
    yield _submitit(executor)


def _executorlib(executor: Any) -> Tool:
    return Tool(
        call=lambda function, *arguments: executor.submit(function, *arguments).result(),
        map=lambda function, *lists: list(executor.map(function, *lists)),
    )


@contextlib.contextmanager
def executorlib_local(folder: Path) -> Iterator[Tool]:
    import executorlib

    with executorlib.SingleNodeExecutor(max_cores=CORES, hostname_localhost=True) as executor:
        yield _executorlib(executor)


@contextlib.contextmanager
def executorlib_slurm(folder: Path) -> Iterator[Tool]:
    import executorlib

    # Without a partition its script names an empty one, which sbatch refuses; it warns of the key that helps.
    resources = {"cores": 1, "run_time_max": 600, "partition": "debug"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        executor = executorlib.SlurmClusterExecutor(cache_directory=str(folder / "executorlib"), resource_dict=resources)
    with executor:
        yield _executorlib(executor)


@contextlib.contextmanager
def ipyparallel_engines(folder: Path) -> Iterator[Tool]:
    import ipyparallel

    cluster = ipyparallel.Cluster(
        n=CORES,
        profile_dir=str(folder / "ipyparallel"),
        log_level=logging.ERROR,
        controller_args=["--HeartMonitor.period=500"],  # engines are there after two beats, of 3 s by default
    )
    with cluster as client:
        view = client.load_balanced_view()
        yield Tool(call=view.apply_sync, map=lambda function, *lists: list(view.map_sync(function, *lists)))


@contextlib.contextmanager
def joblib_pool(folder: Path) -> Iterator[Tool]:
    import joblib
    from joblib.externals.loky import get_reusable_executor

    def mapped(function: Callable[..., Any], *lists: list[Any]) -> list[Any]:
        tasks = (joblib.delayed(function)(*arguments) for arguments in zip(*lists, strict=True))
        return list(joblib.Parallel(n_jobs=CORES, temp_folder=str(folder))(tasks))

    yield Tool(call=lambda function, *arguments: mapped(function, *([each] for each in arguments))[0], map=mapped)
    get_reusable_executor().shutdown(wait=True)


@dataclass(frozen=True)
class Candidate:
    """A peer that may be there: how it is opened, and what is told beside its figures.

    `slow` is one that takes so long that fewer runs or tasks must do.
    """

    open: Maker
    note: str = ""
    goal: float | None = None
    slow: bool = False


@contextlib.contextmanager
def opened(
    candidates: Mapping[str, Candidate],
    folder: Path,
    measure: Callable[[Tool, Candidate], Callable[[], float]],
    slow_runs: int | None = None,
    slow_note: str = "",
) -> Iterator[dict[str, Peer]]:
    """Open peers, say how each is measured, and close them at the end; of slow ones there may be less, as a note says."""
    with contextlib.ExitStack() as stack:
        peers: dict[str, Peer] = {}
        for name, each in candidates.items():
            try:
                tool = stack.enter_context(each.open(folder))
            except ImportError:
                peers[name] = Peer(None, each.goal, NOT_INSTALLED)
            else:
                runs, note = (slow_runs, joined(slow_note, each.note)) if each.slow else (None, each.note)
                peers[name] = Peer(measure(tool, each), each.goal, note, runs)
        yield peers


def squares(tool: Tool, count: int) -> list[int]:
    """A trivial task for each number."""
    return tool.map(pow, list(range(count)), [2] * count)
