"""A session and a worker, each a process, for many cases at once: what `test_round_trip` starts.

``two_processes.py write DIRECTORY`` is the session: it executes the set-up of each case of ``cases.json`` in a ``__main__``
of its own and captures what the check needs. ``two_processes.py read DIRECTORY`` is the worker: it restores each capture
into a ``__main__`` of its own and executes the check there. Each case runs in a fork, as the real worker's cell does,
so no case sees what another imported, and one that crashes or hangs is told as such.
"""

import json
import os
import signal
import sys
import traceback
import types
from dataclasses import asdict
from pathlib import Path

from persist_magic.restore import read_session, restore_session
from persist_magic.store import JobDirectory, Payload

SECONDS = 60
"""After this long a case counts as hanging."""


def fresh_main():
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    return main


def write(place, case):
    from persist_magic.capture import environment
    from persist_magic.capture.cell import Selection, Source, capture
    from persist_magic.errors import Unpicklable

    main = fresh_main()
    fill_linecache("<ipython-input-1-0123456789ab>", case["setup"])
    exec(compile(case["setup"], "<ipython-input-1-0123456789ab>", "exec", case["flags"], dont_inherit=True), main.__dict__)
    directory = JobDirectory(str(place), "case")
    source = Source("cell", case["check"], case["check"], case["flags"])
    try:
        captured = capture("case", source, main.__dict__, Selection(), directory.session_path, directory.buffers_path)
    except Unpicklable as error:
        return {"refused": error.path, "variable": error.variable, "reason": error.reason, "words": str(error)}
    return {"payload": asdict(captured.payload), "sys_path": environment.record().sys_path}


def read(place, case):
    written = json.loads((place / "write.json").read_text())
    if "payload" not in written:
        return {"failure": written.get("failure", f"refused: {written.get('words')}")}
    payload = Payload(**{**written["payload"], "trackers": tuple(written["payload"]["trackers"])})
    sys.path[:] = written["sys_path"]
    main = fresh_main()
    restore_session(read_session(JobDirectory(str(place), "case"), payload), main.__dict__)
    exec(compile(case["check"], "<check>", "exec", case["flags"], dont_inherit=True), main.__dict__)
    return {"failure": ""}


def fill_linecache(filename, source):
    """As IPython does for its cells."""
    import linecache

    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)


def in_a_fork(function, place, case):
    """Do one case and write down what came of it."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(SECONDS)
        try:
            answer = function(place, case)
        except BaseException:  # noqa: BLE001  it is what the test will tell
            answer = {"failure": traceback.format_exc()}
        (place / f"{function.__name__}.json").write_text(json.dumps(answer))
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        ending = f"the process ended by signal {status}" if os.WIFSIGNALED(status) else f"exit status {status}"
        (place / f"{function.__name__}.json").write_text(json.dumps({"failure": ending}))


def main(step, directory):
    scratch = Path(directory)
    os.chdir(scratch)
    if step == "write":
        pass
    for number, case in enumerate(json.loads((scratch / "cases.json").read_text())):
        place = scratch / "jobs" / str(number)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        in_a_fork({"write": write, "read": read}[step], place, case)


if __name__ == "__main__":
    main(*sys.argv[1:])
