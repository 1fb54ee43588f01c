"""What a cell prints and displays is in the files at once, whole, and in order; whoever else writes there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from persist_magic.job import Job

from ..conftest import Session, wait_until

WAIT = "\nimport os, time\nwhile not os.path.exists({marker!r}): time.sleep(0.01)\n"
MANY = "for number in range(5000): print('line', number)\n"
MANY_LINES = "".join(f"line {number}\n" for number in range(5000))


def streams(job: Job) -> list[tuple[str, str]]:
    return [(each["name"], each["text"]) for each in job.outputs() if each["output_type"] == "stream"]


def test_stdout_and_stderr_keep_their_order(session: Session) -> None:
    cell = "import sys\nfor n in range(2):\n    print('out', n)\n    print('err', n, file=sys.stderr)\nprint('a', end='')\nsys.stderr.write('b')\nprint('c')"
    job = session.persist("order", cell)
    job.wait(60)
    assert streams(job) == [
        ("stdout", "out 0\n"),
        ("stderr", "err 0\n"),
        ("stdout", "out 1\n"),
        ("stderr", "err 1\n"),
        ("stdout", "a"),
        ("stderr", "b"),
        ("stdout", "c\n"),
    ]


LIVE = {
    "half a line": ("print('half a line', end='')", "half a line"),
    "a burst": (MANY, MANY_LINES),
    "bytes": ("import sys; sys.stdout.buffer.write(b'bytes')", "bytes"),
    "a burst of bytes": ("import sys\nfor _ in range(5000): sys.stdout.buffer.write(b'12')", "12" * 5000),
    "a bar": ("import sys; sys.stdout.write('\\r50 %')", "\r50 %"),
    "a child": ("import subprocess; _ = subprocess.run(['echo', 'child'])", "child\n"),
    "another stream after a burst": (MANY + "import sys; print('x', file=sys.stderr)", MANY_LINES),
    "a burst of unfinished lines": ("for _ in range(3000): print('.', end='')", "." * 3000),
}


@pytest.mark.parametrize("kind", LIVE)
def test_what_is_printed_is_there_while_the_cell_goes_on(session: Session, marker: Path, kind: str) -> None:
    cell, text = LIVE[kind]
    job = session.persist("live", cell + WAIT.format(marker=str(marker)))
    wait_until(lambda: job.stdout() == text, f"{kind}; there was {job.stdout()[-100:]!r}")
    assert not job.is_ready()
    marker.touch()
    assert job.wait(60).state.value == "done"
    assert job.stdout() == text


OTHERS = {
    "os.system": "import os; os.system('echo other')",
    "subprocess": "import subprocess; _ = subprocess.run('echo other', shell=True)",
    "posix_spawn": "import os; os.waitpid(os.posix_spawn('/bin/echo', ['echo', 'other'], os.environ), 0)",
    "a fork": "import os\npid = os.fork()\nif not pid:\n    print('other'); os._exit(0)\nos.waitpid(pid, 0)",
    "exec": "import os\npid = os.fork()\nif not pid: os.execv('/bin/echo', ['echo', 'other'])\nos.waitpid(pid, 0)",
    "a descriptor": "import sys, os; sys.stdout.flush(); os.write(1, b'other\\n')",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_others_write_stands_after_what_was_printed_before(session: Session, kind: str) -> None:
    job = session.persist("others", f"{MANY}{OTHERS[kind]}\nprint('end')")
    assert job.wait(60).describe(0) == "done"
    assert job.stdout() == MANY_LINES + "other\nend\n"


def test_a_burst_on_one_stream_keeps_its_place_among_the_others_lines(session: Session) -> None:
    cell = f"import sys\n{MANY}print('warning', file=sys.stderr)\n{MANY}display('shown')\nprint('end')"
    job = session.persist("bursts", cell)
    job.wait(60)
    assert [each.get("text") or each["data"]["text/plain"] for each in job.outputs()] == [
        MANY_LINES,
        "warning\n",
        MANY_LINES,
        "'shown'",
        "end\n",
    ]


def test_processes_that_share_the_stream_write_whole_lines_once(session: Session) -> None:
    cell = """
import multiprocessing, sys
print("before")
for number in range(1000): print("parent", number)
def work(number):
    print("child", number, "x" * 50)
with multiprocessing.get_context("fork").Pool(4) as pool:
    pool.map(work, range(400), chunksize=5)
print("after")
"""
    job = session.persist("pool", cell)
    assert job.wait(60).describe(0) == "done"
    lines = job.stdout().splitlines()
    assert lines[:1001] == ["before", *(f"parent {number}" for number in range(1000))]
    assert sorted(lines[1001:-1]) == sorted(f"child {number} {'x' * 50}" for number in range(400))
    assert lines[-1] == "after"
    assert job.stderr() == ""  # no Python warns that a process with threads was forked


def test_an_interrupt_in_a_burst_loses_no_line(session: Session) -> None:
    cell = """
import os, signal, subprocess
from persist_magic.worker.recording import raise_in_cell  # as the handlers of a cancel and of the wall time do it
inside = False
def handler(number, frame):
    global inside
    if inside:
        inside = False
        raise_in_cell(KeyboardInterrupt(), frame)
signal.signal(signal.SIGINT, handler)
script = f"while kill -INT {os.getpid()}; do sleep 0.005; done"
killer = subprocess.Popen(["sh", "-c", script])
number = caught = 0
while caught < 200:
    try:
        inside = True
        while True:
            print(f"{number}\\n", end="")
            number += 1
    except KeyboardInterrupt:
        caught += 1
killer.kill()
killer.wait()
number
"""
    job = session.persist("interrupted", cell)
    number = job.fetch(90)
    lines = [int(line) for line in job.stdout().split()]
    again = [
        line for line, before in zip(lines, [-1, *lines], strict=False) if line != before
    ]  # the one that was interrupted
    assert again[:number] == list(range(number))


def test_a_cancel_in_a_burst_reaches_the_cell(session: Session) -> None:
    cell = "number = 0\ntry:\n    while True:\n        print(number); number += 1\nfinally:\n    print('finally')"
    job = session.persist("cancelled", cell)
    wait_until(lambda: len(job.stdout(1)) > 0, "the first lines")
    job.cancel()
    assert job.wait(60).state.value == "cancelled"
    assert job.stdout(1).endswith("finally\n")  # perhaps behind a line of which only the number had been printed


@pytest.mark.parametrize("start", ["threading", "_thread"])
@pytest.mark.parametrize("before", ["", MANY], ids=["", "after a burst"])
def test_threads_that_print_lose_nothing(session: Session, before: str, start: str) -> None:
    cell = f"""
{before}
import threading
def work(name):
    for number in range(2000): print(name + str(number) + "\\n", end="")
if {start!r} == "threading":
    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
else:
    import _thread, time
    over = []
    def run(name): work(name); over.append(name)
    for name in "abcd": _thread.start_new_thread(run, (name,))
    while len(over) < 4: time.sleep(0.01)
"""
    job = session.persist("threads", cell)
    assert job.wait(60).describe(0) == "done"
    lines = job.stdout().splitlines()[before.count("5000") * 5000 :]
    for name in "abcd":
        assert [line for line in lines if line[0] == name] == [f"{name}{number}" for number in range(2000)]
    assert len(lines) == 8000


def test_a_cell_that_prints_now_and_then_has_one_thread(session: Session) -> None:
    cell = "import os, sys\nfor _ in range(50): print('x')\nprint('y', file=sys.stderr)\nlen(os.listdir('/proc/self/task'))"
    assert session.persist("calm", cell).fetch(60) == 1


def test_the_thread_of_a_burst_ends_with_it(session: Session) -> None:
    cell = MANY + "import os, time\nwhile len(os.listdir('/proc/self/task')) > 1: time.sleep(0.01)\nprint('calm')"
    job = session.persist("calmed", cell)
    assert job.wait(60).describe(0) == "done"
    assert job.stdout() == MANY_LINES + "calm\n"


AWKWARD = {
    "stdout closed": "import sys; sys.stdout.close()\n1",
    "stdout detached in a burst": f"import sys, time\n{MANY}raw = sys.stdout.detach()\ntime.sleep(0.3)\n1",
    "descriptor 1 closed": "import os; os.close(1)\n1",
    "stdout replaced": "import sys, io; sys.stdout = io.StringIO(); print('x')\n1",
    "stdout reconfigured": "import sys; sys.stdout.reconfigure(errors='replace'); print('\\udc80')\n1",
    "all descriptors closed": "import os; os.closerange(3, 100)\nimport sys; print('x'); print('y', file=sys.stderr); print('z')\n1",
}


def test_a_descriptor_that_became_another_files_is_not_written_to(session: Session, tmp_path: Path) -> None:
    cell = f"""
import os, sys
display("before")
print("out"); print("err", file=sys.stderr)
os.closerange(3, 100)
files = [open({str(tmp_path)!r} + f"/file{{n}}", "w") for n in range(10)]
print("out"); print("err", file=sys.stderr)
display("after")
[os.path.getsize(file.name) for file in files]
"""
    job = session.persist("reused", cell)
    assert job.fetch(60) == [0] * 10
    texts = [each.get("text") or each["data"]["text/plain"] for each in job.outputs()]
    assert texts == ["'before'", "out\n", "err\n", "out\n", "err\n", "'after'", str([0] * 10)]


@pytest.mark.parametrize("kind", AWKWARD)
def test_a_cell_may_do_anything_with_its_streams(session: Session, kind: str) -> None:
    job = session.persist("awkward", AWKWARD[kind])
    assert job.fetch(60) == 1


def test_a_fork_that_displays_is_recorded_too(session: Session) -> None:
    cell = "import os\ndisplay('mine')\npid = os.fork()\nif not pid:\n    display('its own'); os._exit(0)\nos.waitpid(pid, 0)\ndisplay('mine again')"
    job = session.persist("fork", cell)
    job.wait(60)
    assert [each["data"]["text/plain"] for each in job.outputs()] == ["'mine'", "'its own'", "'mine again'"]


def test_a_live_plot_of_many_frames_does_not_fill_the_disk(session: Session) -> None:
    cell = """
from IPython.display import HTML, clear_output, display
handle = display(HTML("start"), display_id=True)
for number in range(60):
    handle.update(HTML(f"{number}" + "x" * 1_000_000))
for number in range(60):
    clear_output(wait=True)
    display(HTML(f"{number}" + "y" * 1_000_000))
"""
    job = session.persist("plot", cell)
    assert job.wait(60).describe(0) == "done"
    (output,) = job.outputs()
    assert output["data"]["text/html"] == "59" + "y" * 1_000_000
    assert os.stat(job.directory.run(1).display_path).st_size < 40_000_000


def test_a_print_to_a_full_disk_is_the_cells_error_and_leaves_the_order(session: Session) -> None:
    cell = "import resource\nprint('a' * 1000)\nresource.setrlimit(resource.RLIMIT_FSIZE, (2000, -1))\ntry:\n    print('b' * 5000)\nexcept OSError as error:\n    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\n    print(error)\nimport signal"
    job = session.persist("full", "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + cell)
    assert job.wait(60).describe(0) == "done"
    assert re.fullmatch(r"a{1000}\nb{999}.*File too large\n", job.stdout(), re.DOTALL)


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
kept = 5
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
display("z" * 15_000)
"""


def test_a_failure_is_kept_although_it_cannot_be_shown(session: Session) -> None:
    job = session.persist("full", FULL + "raise ValueError('x' * 10_000)")
    status = job.wait(60)
    assert status.reason.startswith("ValueError: xxx")
    assert job.variables["kept"] == 5
    assert job.outputs()[0]["output_type"] == "display_data"


def test_a_result_is_kept_although_it_cannot_be_shown(session: Session) -> None:
    job = session.persist("full", FULL + "class Rich:\n    def _repr_html_(self): return 'y' * 10_000\nRich()")
    assert job.wait(60).describe(0) == "done"
    assert job.variables["kept"] == 5
    assert "the result could not be shown: OSError" in job.stderr()
