"""The notebook that is kept of a job: valid, with cell, outputs and facts, and never written over another file unasked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from persist_magic.errors import StoreError
from persist_magic.replay import header

from .conftest import Session, environment, wait_until


def shell(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "persist_magic", *words]
    return subprocess.run(command, cwd=directory, env=environment(), capture_output=True, text=True, check=False)


def read(path: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def test_a_notebook_of_a_job(session: Session, tmp_path: Path) -> None:
    session.run("alpha = [1, 2]")
    cell = "print('text')\ndisplay('shown')\nfrom IPython.display import HTML\nHTML('<b>' + str(sum(alpha)) + '</b>')"
    job = session.persist("kept", cell)
    job.wait(60)
    path = job.export(tmp_path / "kept.ipynb")
    assert path == tmp_path / "kept.ipynb"
    facts, code = read(path).cells
    assert facts.source.startswith("# kept\n\n| | |\n| --- | --- |\n| state | done |\n| where | local pid ")
    assert "| captured | alpha (list len 2) |" in facts.source
    assert code.source == cell
    kinds = [each.output_type for each in code.outputs]
    assert kinds == ["stream", "display_data", "execute_result"]
    assert code.outputs[2].data["text/html"] == "<b>3</b>"
    # the cell runs again from the notebook, where its inputs are
    assert shell(tmp_path, "export", "kept", "again.ipynb").stdout == f"kept → {tmp_path / 'again.ipynb'}\n"
    assert read(tmp_path / "again.ipynb").cells[1] == code


def test_a_file_that_exists_is_left_alone_unless_it_is_to_go(session: Session, tmp_path: Path) -> None:
    job = session.persist("kept", "1 + 1")
    job.wait(60)
    (tmp_path / "kept.ipynb").write_text("mine")
    with pytest.raises(StoreError, match="it exists; with replace=True or --replace it is written over"):
        job.export(tmp_path / "kept.ipynb")
    refused = shell(tmp_path, "export", "kept")
    assert refused.returncode == 3
    assert "cannot export to" in refused.stderr
    assert (tmp_path / "kept.ipynb").read_text() == "mine"
    assert shell(tmp_path, "export", "kept", "--replace").returncode == 0
    assert read(tmp_path / "kept.ipynb").cells[1].outputs[0].data["text/plain"] == "2"


def test_where_nothing_can_be_written_is_said(session: Session, tmp_path: Path) -> None:
    job = session.persist("kept", "1")
    job.wait(60)
    with pytest.raises(StoreError, match="No such file or directory"):
        job.export(tmp_path / "no such folder" / "kept.ipynb")


def test_a_job_that_failed_and_one_that_runs(session: Session, tmp_path: Path, marker: Path) -> None:
    bad = session.persist("bad", "print('x')\n1 / 0")
    bad.wait(60)
    _, code = read(bad.export(tmp_path / "bad.ipynb")).cells
    assert [each.output_type for each in code.outputs] == ["stream", "error"]
    assert code.outputs[1].ename == "ZeroDivisionError"
    cell = f"print('so far')\nimport os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)"
    live = session.persist("live", cell)
    wait_until(lambda: live.stdout() == "so far\n", "the first line")
    facts, code = read(live.export(tmp_path / "live.ipynb")).cells
    assert "| state | running" in facts.source
    assert code.outputs[0].text == "so far\n"
    marker.touch()


def test_hostile_words_stay_words() -> None:
    text = header("a*b", {"state": "failed: <script>alert(1)</script> | x\n# y [l](u)"})
    assert (
        text
        == "# a\\*b\n\n| | |\n| --- | --- |\n| state | failed: \\<script\\>alert(1)\\</script\\> \\| x \\# y \\[l\\](u) |"
    )
