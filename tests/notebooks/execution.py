"""One notebook from its first cell to its last, as "Run All" does it. Owns the kernel's life, and its death where a cell asks for it.

Tags of cells: one with `kernel-dies` must kill its kernel, the rest runs in a new one; one with `raises-exception` must raise,
which nbclient only allows; what one with `as-it-comes` shows depends on how far a job is. A notebook whose metadata has ``{"persist_magic": {"cluster": true}}`` needs Slurm.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from ..conftest import end_jobs
from . import FOLDER, keeping

CELL_SECONDS = 900
"""The longest that a cell may take; under Slurm some wait for the scheduler."""
_OF_A_SESSION = ("PERSIST_", "SLURM", "SBATCH_", "IPYTHON", "MPLBACKEND", "MPLCONFIGDIR")


class CellMisbehaved(Exception):
    """A cell did not do what its tags say."""


class _Execution(NotebookClient):
    """A notebook's execution that goes on in a new kernel where a cell kills the old one."""

    async def async_execute_cell(self, cell: Any, cell_index: int, *arguments: Any, **options: Any) -> Any:
        tags = cell.metadata.get("tags", [])
        try:
            done = await super().async_execute_cell(cell, cell_index, *arguments, **options)
        except DeadKernelError:
            if "kernel-dies" not in tags:
                raise
            cell["execution_count"], self.code_cells_executed = None, 0  # as in Jupyter
            await self.km.restart_kernel(now=True)
            await self.kc.wait_for_ready(timeout=self.startup_timeout)
            return cell
        if "kernel-dies" in tags:
            raise CellMisbehaved(f"the kernel survived cell {cell.id}")
        if "raises-exception" in tags and all(each.output_type != "error" for each in cell.get("outputs", [])):
            raise CellMisbehaved(f"cell {cell.id} raised nothing")
        return done


def read(name: str) -> nbformat.NotebookNode:
    """Return a tutorial as it is kept."""
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def needs_cluster(notebook: nbformat.NotebookNode) -> bool:
    """Whether a notebook uses Slurm."""
    return bool(notebook.metadata.get("persist_magic", {}).get("cluster"))


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the cells that are executed."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def executed(
    notebook: nbformat.NotebookNode, variables: Mapping[str, str] | None = None, directory: Path | None = None
) -> nbformat.NotebookNode:
    """Execute a notebook and return it with the outputs that are to be kept.

    Parameters
    ----------
    notebook
        It is executed in place.
    variables
        More of the environment, as of a cluster.
    directory
        Where; a fresh one by default, which is deleted.

    Raises
    ------
    CellExecutionError, DeadKernelError, CellMisbehaved
        If a cell does what its tags do not announce.
    """
    fresh = tempfile.TemporaryDirectory(prefix="persist-notebook-") if directory is None else contextlib.nullcontext(directory)
    with fresh as given:
        place = os.path.realpath(given)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_A_SESSION)}
        own = {
            "LOGNAME": "you",  # who has cancelled a job is told by this name
            "OPENBLAS_NUM_THREADS": "1",  # of small matrices; where cores are busy, threads that wait for each other are slow
            "IPYTHONDIR": str(Path(place, ".ipython")),
            "MPLCONFIGDIR": str(Path(place, ".matplotlib")),
        }
        client = _Execution(
            notebook,
            kernel_name="python3",
            resources={"metadata": {"path": place}},
            timeout=CELL_SECONDS,
            record_timing=False,
            store_widget_state=False,
        )
        try:
            client.execute(env={**kept, **own, **(variables or {})})  # also where a loop runs, as Playwright leaves one
        finally:
            end_jobs(Path(place, ".persist"))
    for cell in code_cells(notebook):
        cell.outputs = keeping.elsewhere(keeping.tidied(cell.outputs), place)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def shown_by(notebook: nbformat.NotebookNode, beginning: str, number: int = 0) -> str:
    """Return the text that a cell shows, of those that begin with some words the one of a number; -1 is the last."""
    found = [cell for cell in code_cells(notebook) if cell.source.startswith(beginning)]
    return "\n".join(keeping.texts(found[number].outputs))


def pictures_of(notebook: nbformat.NotebookNode, beginning: str, number: int = 0) -> list[str]:
    """Return the PNGs that such a cell shows, as they are written down."""
    found = [cell for cell in code_cells(notebook) if cell.source.startswith(beginning)]
    return [each.data["image/png"] for each in found[number].outputs if "image/png" in each.get("data", {})]


def changed_kinds(notebook: nbformat.NotebookNode, kept: nbformat.NotebookNode) -> dict[str, tuple[list[str], list[str]]]:
    """Return of which cells outputs are of other kinds than those that are kept, without those tagged `as-it-comes`."""
    pairs = zip(code_cells(notebook), code_cells(kept), strict=True)
    found = {cell.id: (keeping.kinds(cell.outputs), keeping.kinds(old.outputs)) for cell, old in pairs if not _varies(cell)}
    return {id: both for id, both in found.items() if both[0] != both[1]}


def _varies(cell: nbformat.NotebookNode) -> bool:
    return "as-it-comes" in cell.metadata.get("tags", [])
