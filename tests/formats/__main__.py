"""Write the directory of jobs that later versions must be able to read: python -m tests.formats FOLDER PLACE

Owns what such a directory has: one job of each kind, by the version that is installed. It is made once for each released
format and then never again; `test_formats` reads all that there are. The jobs run in PLACE, which is deleted again; its name,
as /home/user/project, is what stands in the files. What else belongs to the machine is given neutral words.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import types
from pathlib import Path
from typing import Any

from persist_magic import submission
from persist_magic.capture.cell import Source
from persist_magic.store import sealed

CELLS = {
    "plain": "print('printed')\nfound = {'a': [1, 2.5], 'b': ('x', None)}\nsum(found['a'])",
    "failed": "print('before')\nraise ValueError('no such luck')",
    "checkpointed": "__import__('persist_magic').checkpoint(step=7, parts=[1, 2])\n'checkpointed'",
    "array": "start[0] = 9\ntable = start[:600].reshape(6, 100)\ntable[0, :3]",
    "shown": "from IPython.display import HTML, display\ndisplay(HTML('<b>bold</b>'))\n'shown'",
    "many": "print('task', n)\nif n == 2: raise ValueError(n)\nn * 10",
}


def _namespace() -> dict[str, Any]:
    import numpy

    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    module.__dict__["start"] = numpy.zeros(20_000)
    return module.__dict__


def run(root: str) -> None:
    """Run one job of each kind in a root, one of them twice."""
    namespace = _namespace()
    for name, cell in CELLS.items():
        each = [(("n",), [1, 2, 3])] if name == "many" else ()
        submission.submit(name, Source("cell", cell, cell), namespace, root=root, each=each).job.wait(60)
    submission.load("plain", root).rerun().wait(60)


def _neutral(value: Any, words: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: "user" if name == "user" else _neutral(each, words) for name, each in value.items()}
    if isinstance(value, list):
        return [_neutral(each, words) for each in value]
    if isinstance(value, str):
        for old, new in words.items():
            value = value.replace(old, new)
    return value


def write(folder: Path, place: Path) -> None:
    """Run the jobs in a place that does not exist yet and put what they leave into a folder that does not, either."""
    place.mkdir(parents=True)
    try:
        os.chdir(place)
        root = place / ".persist"
        run(str(root))
        words = {os.uname().nodename: "node1", sys.prefix: "/usr", sys.base_prefix: "/usr"}
        for path in root.rglob("*.json"):
            values = _neutral(json.loads(path.read_text()), words)
            if "sys_path" in values:
                values["sys_path"] = [str(place)]
            del values["checksum"]
            path.write_bytes(sealed(values))
        for script in root.rglob("job.sh"):
            script.write_text("#!/bin/sh\n# was made on another machine\n")
        shutil.copytree(root, folder, ignore=shutil.ignore_patterns(".*"))
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    write(Path(sys.argv[1]).absolute(), Path(sys.argv[2]))
