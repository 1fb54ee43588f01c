"""Terminal IPython under a pseudo-terminal: the quickstart's job survives the terminal, and the lines a person sees."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import alive, environment, in_terminal, wait_until
from .test_notebook import quickstart_cells

PROMPT = re.compile(r"In \[(\d+)\]: $")


class Terminal:
    """An IPython in a terminal of 120 by 40."""

    def __init__(self, directory: Path) -> None:
        words = ["-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit", "--colors=nocolor"]
        words += ["--HistoryManager.enabled=False", "--TerminalInteractiveShell.autoindent=False"]
        env = environment(IPYTHONDIR=str(directory / ".ipython"), TERM="xterm")
        self.child = in_terminal(words, 40, 120, env, echo=False, cwd=str(directory))
        self.child.expect(r"In \[1\]: ")

    def run(self, cell: str, directory: Path | None = None) -> str:
        """Type a cell; return what it shows. Longer cells come from a file, as ``%run -i`` would not keep their source."""
        if "\n" in cell:
            assert directory is not None
            (directory / "typed.txt").write_text(cell)
            cell = "_r = get_ipython().run_cell(open('typed.txt').read(), store_history=True)"
        self.child.sendline(cell)
        self.child.expect(r"\r\nIn \[\d+\]: ")
        return str(self.child.before).replace("\r\n", "\n")

    def pid(self) -> int:
        return int(self.child.pid)


@pytest.fixture
def terminal(directory: Path) -> Iterator[Callable[[], Terminal]]:
    opened: list[Terminal] = []

    def open_one() -> Terminal:
        opened.append(Terminal(directory))
        return opened[-1]

    yield open_one
    for each in opened:
        each.child.close(force=True)


def test_the_quickstart_survives_the_terminals_death(terminal: Callable[[], Terminal], directory: Path) -> None:
    before, after = quickstart_cells()
    first = terminal()
    shown = "".join(first.run(cell, directory) for cell in before)
    assert "digits → local, pid " in shown
    wait_until(lambda: "running" in first.run("%persist_status digits"), "the job's start")
    os.kill(first.pid(), signal.SIGKILL)
    wait_until(lambda: not alive(first.pid()), "the end of IPython")
    first.child.close(force=True)

    second = terminal()
    assert re.search(r"<Job digits: running, seen \d s ago>", second.run(after[0], directory))
    assert "digits: done" in second.run(after[1])
    assert "on average over 100 folds" in second.run(after[3], directory)
    assert re.search(r"Fold\(number=0, accuracy=0\.9\d+\) 0\.99", second.run(after[4], directory))


def test_ctrl_c_and_a_closed_terminal_do_not_reach_the_job(
    terminal: Callable[[], Terminal], directory: Path, marker: Path
) -> None:
    first = terminal()
    first.run("%load_ext persist_magic")
    first.run(
        f"%%persist job\nimport os, time\nprint('up', flush=True)\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\n'survived'",
        directory,
    )
    first.child.sendline("%persist_log job --follow")
    first.child.expect("up")
    first.child.sendintr()
    first.child.expect("stopped following; job job goes on")
    first.child.sendline("print('waiting', flush=True); get_ipython().run_line_magic('persist_wait', 'job')")
    first.child.expect("waiting")
    first.child.sendintr()
    first.child.expect("KeyboardInterrupt")
    first.child.close()  # SIGHUP, as a closed window sends
    marker.touch()
    second = terminal()
    second.run("%load_ext persist_magic")
    assert "Out[2]: 'survived'" in second.run("%persist_fetch job")


def test_a_cell_typed_by_hand(terminal: Callable[[], Terminal]) -> None:
    shell = terminal()
    shell.run("%load_ext persist_magic")
    for line in ("%%persist typed", "1 + 1", ""):
        shell.child.sendline(line)
    shell.child.sendline("")
    shell.child.expect(r"typed → local, pid \d+; shipped no names")
    shell.child.expect(r"In \[\d+\]: ")
    assert "Out[3]: 2" in shell.run("%persist_fetch typed")


def test_names_of_jobs_complete_with_tab(terminal: Callable[[], Terminal], directory: Path) -> None:
    shell = terminal()
    shell.run("%load_ext persist_magic")
    shell.run("%%persist unmistakable\n1", directory)
    for line in ("%persist_fetch unm", "%persist unm", "%persist_log --err unm", "%%persist unm"):
        assert "unmistakable" in shell.run(f"get_ipython().complete({line.split()[-1]!r}, {line!r})[1]")


def test_outputs_are_text_and_the_end_is_told(terminal: Callable[[], Terminal], directory: Path, marker: Path) -> None:
    session = terminal()
    session.run("%load_ext persist_magic")
    cell = f"""%%persist shown --notify
import os, time
from IPython.display import HTML, display
while not os.path.exists({str(marker)!r}): time.sleep(0.01)
print('out')
display(HTML('<b>x</b>'))
[1, 2]"""
    session.run(cell, directory)
    marker.touch()
    session.child.expect(r"shown: done after \d+ s\r\n")
    assert session.run("%persist_show shown").strip() == "out\n<IPython.core.display.HTML object>\n[1, 2]"
    fetched = session.run("%persist_fetch shown").strip()
    assert re.fullmatch(r"out\n<IPython.core.display.HTML object>\nOut\[\d\]: \[1, 2\]", fetched)
    session.run("%%persist bad\n1 / 0", directory)
    session.run("_r = get_ipython().user_ns['_r'].result.wait(60)")
    shown = session.run("%persist_fetch bad")
    assert (
        "Job bad, line 2\n      1 # %%persist bad --backend local\n----> 2 1 / 0\n\nZeroDivisionError: division by zero\n"
        in shown
    )
    assert "JobFailed: job bad failed: ZeroDivisionError: division by zero" in shown
