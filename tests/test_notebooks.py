"""The tutorials that need no cluster: each is executed, does what its text says, and shows the kinds of outputs that are kept.

Owns also what all kept notebooks have in common, and the runner's refusals. The quickstart's kernel is killed in
test_notebook.py; the tutorial of Slurm is executed in tests/slurm.
"""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook, new_output

from .notebooks import FOLDER, keeping
from .notebooks.execution import (
    CellMisbehaved,
    changed_kinds,
    code_cells,
    executed,
    pictures_of,
    read,
    shown_by,
)

NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
ATTACHED = "the identical job exists"


def run(name: str, directory: Path) -> nbformat.NotebookNode:
    """Execute a tutorial; what it shows is of the kinds that are kept."""
    notebook = executed(read(name), directory=directory)
    assert changed_kinds(notebook, read(name)) == {}, f"python -m tests.notebooks {name} writes them anew"
    return notebook


def number_in(text: str, before: str) -> float:
    return float(re.search(rf"{before}\s*(\d+\.?\d*(e-?\d+)?)", text)[1])


# ---------------------------------------------------------------- what is kept


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_kept_with_its_outputs(name: str) -> None:
    kept = read(name)
    assert keeping.names_of_this_machine(kept) == []
    for cell in code_cells(kept):
        tags = cell.metadata.get("tags", [])
        assert (cell.execution_count is None) == ("kernel-dies" in tags), f"{cell.id} was not executed"
        errors = [each.ename for each in cell.outputs if each.output_type == "error"]
        assert bool(errors) == ("raises-exception" in tags), cell.id
        assert all(keeping.WIDGET not in each.get("data", {}) for each in cell.outputs), cell.id
        if cell.source.startswith(("%%persist ", "%persist_status")):
            assert any("<table>" in each.data.get("text/html", "") for each in cell.outputs if "data" in each), cell.id
    figures = [each for cell in code_cells(kept) for each in cell.outputs if "image/png" in each.get("data", {})]
    assert figures or name == "quickstart"  # which runs in a terminal, too


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_names_only_notebooks_that_are_there(name: str) -> None:
    text = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
    assert set(re.findall(r"\]\((\w+)\.ipynb\)", text)) <= set(NAMES)


# ---------------------------------------------------------------- the tutorials


def test_quickstart(tmp_path: Path) -> None:
    notebook = run("quickstart", tmp_path)
    accuracy = float(re.search(r"(0\.\d+) on average over 100 folds", shown_by(notebook, "accuracy = "))[1])
    assert float(shown_by(notebook, "simpler = ").split()[0]) < accuracy < 1
    assert "gamma changed" in shown_by(notebook, "%load_ext persist_magic\njob")
    folds = [f"fold {number}: [01]\\.\\d{{4}}\n" for number in (97, 98, 99)]
    assert re.fullmatch("".join(folds), shown_by(notebook, "%persist_log"))


def test_sweep(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import cross_val_score
    from sklearn.svm import SVC

    notebook = run("sweep", tmp_path)
    assert "66 tasks" in shown_by(notebook, "%%persist svc ")
    assert re.search(r"svc +failed .*11 of 66 tasks failed.*'C' parameter", shown_by(notebook, "%persist_status"))
    assert "12 of 66 tasks of job svc have no result" in shown_by(notebook, "%persist_fetch svc")
    assert "number 0 is a TaskFailed" in shown_by(notebook, "results = ")
    assert re.search(r"cancelled +1 .*\ndone +54 .*\nfailed +11 ", shown_by(notebook, "table = "))
    best = shown_by(notebook, "best = ")
    images, labels = load_digits(return_X_y=True)
    model = SVC(C=number_in(best, "C ="), gamma=number_in(best, "gamma ="))
    assert number_in(best, "accuracy") == pytest.approx(
        cross_val_score(model, images[:800], labels[:800], cv=3).mean(), abs=0.01
    )
    assert "run 2, 12 tasks" in shown_by(notebook, "%persist_rerun")
    assert re.search(r"\n0\.0 +0 +11(\n[\d.]+ +11 +0){5}", shown_by(notebook, "%persist_rerun"))
    assert len(pictures_of(notebook, "accuracy = ")) == 1

    again = read("sweep")  # from the top, as far as its first job
    again.cells = again.cells[: 1 + [cell.source.startswith("%%persist svc ") for cell in again.cells].index(True)]
    assert ATTACHED in shown_by(executed(again, directory=tmp_path), "%%persist svc ")


def test_recovering(tmp_path: Path) -> None:
    notebook = run("recovering", tmp_path)
    assert "quench" in shown_by(notebook, "%load_ext persist_magic\n%persist_status"), "the new kernel found no job"
    early, whole = pictures_of(notebook, "%persist_show quench"), pictures_of(notebook, "%persist_fetch quench")
    assert len(early) >= 3
    assert len(set(whole)) == 4
    assert early == whole[: len(early)]
    sizes = [float(size) for size in re.findall(r"sweeps a size of ([\d.]+)", shown_by(notebook, "%persist_fetch quench"))]
    assert sizes == sorted(sizes)
    assert (
        0.4 < number_in(shown_by(notebook, "import matplotlib.pyplot as plt\nimport numpy as np\n\ntimes"), "exponent") < 0.6
    )
    failed = shown_by(notebook, "%persist_fetch magnet")
    assert "----> 5 found[2.3]" in failed
    assert "JobFailed: job magnet failed: KeyError: 2.3" in failed
    assert shown_by(notebook, "found = job.variables").count(",") == 10
    assert ATTACHED not in shown_by(notebook, "%%persist magnet --replace")
    assert 0 < float(shown_by(notebook, "%persist_fetch magnet", 1)) < 1
    assert f"{ATTACHED}, done; attached to it" in shown_by(notebook, "%%persist magnet\n", 1)
    assert re.search(r"^done, [\d.]+ s, at most [1-9]\d* MB", shown_by(notebook, "info = "))


def test_from_persist_jl(tmp_path: Path) -> None:
    from math import isqrt, pi

    notebook = run("from_persist_jl", tmp_path)
    assert str(pi).replace(".", "")[:15] in shown_by(notebook, "job.wait")
    counts = [int(count) for count in re.search(r"\[([\d, ]+)\]", shown_by(notebook, "print(job.variables)"))[1].split(",")]
    assert sum(counts) == 200_001
    assert all(abs(count - 20_000) < 500 for count in counts)
    assert shown_by(notebook, "import persist_magic\n\n\ndef root").strip() == str(isqrt(2 * 10**40))
    assert "job broken failed: ValueError" in shown_by(notebook, "broken = ")
    assert "<Job too-many: cancelled" in shown_by(notebook, "import time")
    left = re.findall(r"<Job ([\w-]+)", shown_by(notebook, "job.cleanup"))
    assert left == ["broken", "calcpi", "root-of-two"]
    assert len(pictures_of(notebook, "import matplotlib")) == 1


# ---------------------------------------------------------------- the runner


def small(*sources: str, tags: tuple[str, ...] = ()) -> nbformat.NotebookNode:
    """A notebook of which the last cell has tags."""
    cells = [new_code_cell(source) for source in sources]
    cells[-1].metadata["tags"] = list(tags)
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def test_a_cell_that_breaks_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        executed(small("1 / 0"), directory=tmp_path)


def test_what_a_tag_announces_must_happen(tmp_path: Path) -> None:
    with pytest.raises(CellMisbehaved, match="raised nothing"):
        executed(small("1", tags=("raises-exception",)), directory=tmp_path)
    with pytest.raises(CellMisbehaved, match="survived"):
        executed(small("1", tags=("kernel-dies",)), directory=tmp_path)


def test_a_death_that_is_not_announced_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeadKernelError):
        executed(small("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"), directory=tmp_path)


def test_a_job_that_a_notebook_left_running_is_ended(tmp_path: Path) -> None:
    from persist_magic import submission

    executed(
        small("%load_ext persist_magic", "%%persist endless\nimport time\nwhile True: time.sleep(0.01)"), directory=tmp_path
    )
    (job,) = submission.jobs(tmp_path / ".persist")
    assert job.is_ready()


def test_outputs_are_tidied(tmp_path: Path) -> None:
    source = "import os, sys\nfor i in range(3):\n    print(f'\\r{i} of 3', end='', flush=True)\nprint()\nprint(os.getcwd())"
    (cell,) = executed(small(source), directory=tmp_path).cells
    assert [(each.name, each.text) for each in cell.outputs] == [("stdout", f"2 of 3\n{keeping.READERS}\n")]


@pytest.mark.parametrize("text", [socket.gethostname(), str(Path.home() / "x"), "in /home/jane/work", f"{sys.prefix}/lib"])
def test_what_names_this_machine_is_found(text: str) -> None:
    notebook = small("1")
    notebook.cells[0].outputs = [new_output("stream", text=f"it is {text} here")]
    assert len(keeping.names_of_this_machine(notebook)) == 1


def test_what_a_reader_would_see_anywhere_is_no_name(tmp_path: Path) -> None:
    notebook = small("1")
    words = "1/200, ~/tutorials/.persist/a/cell.py, and https://example.org/home/x of root"
    notebook.cells[0].outputs = [new_output("stream", text=words)]
    assert keeping.names_of_this_machine(notebook) == []
