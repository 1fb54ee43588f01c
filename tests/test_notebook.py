"""The quickstart, with a real Jupyter kernel that is killed while the job runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from .conftest import alive, environment, wait_until
from .kernels import Kernel, start

QUICKSTART = Path(__file__).parent.parent / "notebooks" / "quickstart.ipynb"


def quickstart_cells() -> tuple[list[str], list[str]]:
    """The code cells before and after the place where the notebook invites to restart the kernel."""
    cells = [cell for cell in nbformat.read(QUICKSTART, as_version=4).cells if cell.cell_type == "code"]
    (at,) = [i for i, cell in enumerate(cells) if "new-session" in cell.metadata.get("tags", [])]
    return [cell.source for cell in cells[:at]], [cell.source for cell in cells[at:]]


def test_the_quickstart_survives_the_kernels_death(directory: Path, kernels: list[Kernel]) -> None:
    before, after = quickstart_cells()
    first = start(kernels, directory)
    shown = [first.run(cell) for cell in before]
    submitted = next(text for text in shown if "→ local, pid " in text)
    for name in ("images", "labels", "evaluate", "gamma"):
        assert name in submitted
    wait_until(lambda: "running" in first.run("%persist_status digits"), "the job's start")
    first.kill()

    second = start(kernels, directory)
    assert re.search(r"<Job digits: running, seen \d s ago>", second.run(after[0]))
    assert "images" not in second.run("print(*dir())")
    assert second.run(after[1]) == "digits: done\n"
    assert re.fullmatch(r"fold 97: .*\nfold 98: .*\nfold 99: .*\n", second.run(after[2]))
    fetched = second.run(after[3])
    assert "scores, model ← digits" in fetched
    accuracy = float(re.search(r"(\d\.\d+) on average over 100 folds", fetched)[1])
    assert 0.98 < accuracy < 1
    assert re.search(r"Fold\(number=0, accuracy=0\.9\d+\) 0\.99", second.run(after[4]))
    again = second.run("job.status().state.name, len(job.stdout().splitlines())")
    assert again == "('DONE', 100)"

    third = start(kernels, directory)
    attached = [third.run(cell) for cell in before if "gamma = 100" not in cell]
    assert "digits: the identical job exists, done; attached to it, nothing submitted" in "".join(attached)


def test_a_running_job_survives_interrupt_terminate_and_restart(
    directory: Path, kernels: list[Kernel], marker: Path
) -> None:
    kernel = start(kernels, directory)
    kernel.run("%load_ext persist_magic")
    kernel.run(f"%%persist job\nimport os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\n'survived'")
    wait_until(lambda: "running" in kernel.run("%persist_status"), "the job")
    kernel.manager.interrupt_kernel()
    kernel.run("1")
    kernel.manager.restart_kernel(now=False)
    kernel.client.wait_for_ready(60)
    kernel.pid = int(kernel.run("import os; os.getpid()"))
    kernel.run("%load_ext persist_magic")
    assert "running" in kernel.run("%persist_status")
    os.killpg(os.getpgid(kernel.pid), signal.SIGTERM)
    wait_until(lambda: not alive(kernel.pid), "the kernel's end")
    marker.touch()
    other = start(kernels, directory)
    other.run("%load_ext persist_magic")
    assert other.run("%persist_fetch job") == "'survived'"


def test_a_job_is_awaited_in_a_notebook_and_is_the_last_value(directory: Path, kernels: list[Kernel]) -> None:
    kernel = start(kernels, directory)
    kernel.run("%load_ext persist_magic")
    assert "<Job job: " in kernel.run("%%persist job\n6 * 7")
    assert kernel.run("await _") == "42"


def test_a_failed_job_shows_the_cells_line_and_none_of_ours(directory: Path, kernels: list[Kernel]) -> None:
    kernel = start(kernels, directory)
    kernel.run("%load_ext persist_magic")
    kernel.run("%%persist bad\nx = 1\nx / 0")
    with pytest.raises(RuntimeError) as shown:
        kernel.run("%persist_fetch bad")
    assert "job bad failed: ZeroDivisionError: division by zero" in str(shown.value)
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(shown.value))
    assert text != str(shown.value), "no colours"
    assert "Job bad, line 3\n      1 # %%persist bad --backend local\n      2 x = 1\n----> 3 x / 0\n" in text
    assert text.count("File ") == 0, "frames of ours"


def test_the_quickstart_runs_in_terminal_ipython_as_the_readme_says(directory: Path) -> None:
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=nocolor", str(QUICKSTART)]
    done = subprocess.run(
        command, cwd=directory, env=environment(IPYTHONDIR=str(directory)), capture_output=True, text=True, check=True
    )
    assert "on average over 100 folds" in done.stdout
    assert "Error" not in done.stdout + done.stderr


def test_the_end_of_a_job_is_told_in_the_browser(directory: Path, kernels: list[Kernel], marker: Path) -> None:
    kernel = start(kernels, directory)
    kernel.run("%load_ext persist_magic\nimport os, time")
    cell = f"%%persist told --notify\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\n1 / 0"
    (asked,) = [each for each in kernel.messages(cell) if each["msg_type"] == "display_data"]
    assert "Notification.requestPermission()" in asked["content"]["data"]["application/javascript"]
    marker.touch()
    while (message := kernel.client.get_iopub_msg(timeout=60))["msg_type"] != "update_display_data":
        continue
    data = message["content"]["data"]
    assert message["content"]["transient"] == asked["content"]["transient"]
    assert re.fullmatch(r"told: failed after \d+ s: ZeroDivisionError: division by zero", data["text/plain"])
    assert f'new Notification("{data["text/plain"]}")' in data["application/javascript"]


def test_a_failure_shown_later_is_an_output_and_does_not_raise(directory: Path, kernels: list[Kernel]) -> None:
    kernel = start(kernels, directory)
    kernel.run("%load_ext persist_magic")
    kernel.run("%%persist bad\n1 / 0")
    kernel.run("_.wait(60)")
    # it would raise if the cell had failed
    (error,) = [each["content"] for each in kernel.messages("%persist_show bad") if each["msg_type"] == "error"]
    assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")


def test_the_status_is_a_table_that_stays_in_the_notebook(directory: Path, kernels: list[Kernel]) -> None:
    kernel = start(kernels, directory)
    kernel.run("%load_ext persist_magic")
    kernel.run("%%persist bad\nraise ValueError('<b>')")
    kernel.run("_.wait(60)")
    (shown,) = [each["content"]["data"] for each in kernel.messages("%persist_status") if each["msg_type"] == "display_data"]
    assert "ValueError: &lt;b&gt;" in shown["text/html"]
    assert re.search(r"^bad +failed +local .*ValueError: <b>$", shown["text/plain"], re.MULTILINE)
    assert kernel.run("%persist_status --plain").startswith("name  state ")
