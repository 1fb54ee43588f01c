"""A process that has imported the package once and forks one process for each call, as if each had just been started.

Owns the conversation with `laboratory`: lines of JSON. It never touches the root itself, so nothing of it is remembered.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import traceback
from typing import Any

import numpy  # noqa: F401  what calls import, so that each need not pay for it

from persist_magic import monitor, submission  # noqa: F401
from persist_magic.backends import local  # noqa: F401
from persist_magic.capture import canonical, cell, payload, pickler  # noqa: F401

from .stories import CALLS


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out a call; the error if it raised one."""
    try:
        return {"value": CALLS[request["call"]](*request["arguments"])}
    except BaseException as error:  # noqa: BLE001  the laboratory judges it
        ours = [each.__name__ for each in type(error).__mro__]
        return {"error": type(error).__name__, "kinds": ours, "words": str(error), "trace": traceback.format_exc()}


def _carry_out(request: dict[str, Any], answer_to: int) -> None:
    os.environ.update(request["environment"])
    if request["role"]:
        ctypes.CDLL(None).faults_begin(request["role"].encode())
    answer = json.dumps(_answer(request)).encode()
    os.write(answer_to, answer)


def main() -> None:
    output = os.dup(1)
    os.dup2(2, 1)
    gc.freeze()  # what stands here is not gone through, and so copied, by each call's process
    for line in sys.stdin:
        request = json.loads(line)
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read_end)
            try:
                _carry_out(request, write_end)
            finally:
                os._exit(0)
        os.close(write_end)
        with open(read_end, "rb") as file:
            data = file.read()
        _, status = os.waitpid(pid, 0)
        answer = json.loads(data) if data else {}
        answer["killed"] = os.waitstatus_to_exitcode(status) == -9
        os.write(output, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
