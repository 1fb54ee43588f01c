"""``python …/persist_magic/worker/__main__.py DIRECTORY``: run the job of a job directory; what job.sh executes.

With ``--rank DIRECTORY RUN`` be one MPI rank of a run; what the supervisor has mpiexec or srun execute.

Started by its path: then the first entry of sys.path is this folder, which is taken out, and not the directory that the
job stands in, where a ``random.py`` could shadow the standard library.
"""

import os
import sys


def _start() -> int:
    here = os.path.dirname(os.path.abspath(__file__))
    package_parent = os.path.dirname(os.path.dirname(here))
    if sys.path and os.path.abspath(sys.path[0] or ".") in (here, os.getcwd()):
        del sys.path[0]
    if package_parent not in sys.path:
        sys.path.append(package_parent)  # last: nothing beside the package may shadow the standard library
    if sys.argv[1:2] == ["--rank"]:
        from persist_magic.worker.ranks import main
    else:
        from persist_magic.worker.supervisor import main
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(_start())
