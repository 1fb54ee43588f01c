"""``python -m tests.notebooks [NAME …]``: execute the tutorials and keep their outputs in notebooks/*.ipynb.

Owns the words of the command. Notebooks that need Slurm get a cluster that is started for them.
"""

from __future__ import annotations

import argparse
import sys
import time

from ..slurm.conftest import made_cluster
from . import FOLDER, keeping
from .execution import executed, needs_cluster, read


def main() -> None:
    names = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    parser = argparse.ArgumentParser(prog="python -m tests.notebooks", description="Execute the tutorials, keep their outputs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; all by default")
    chosen = parser.parse_args().names or names
    if unknown := set(chosen) - set(names):
        parser.error(f"there is no notebook {', '.join(sorted(unknown))}")
    for name in chosen:
        begin = time.monotonic()
        notebook = read(name)
        for cluster in made_cluster() if needs_cluster(notebook) else (None,):
            executed(notebook, cluster.environment if cluster else {})
        if strange := keeping.names_of_this_machine(notebook):
            sys.exit(f"{name} is not written: its outputs name this machine:\n" + "\n".join(strange))
        keeping.write(notebook, FOLDER / f"{name}.ipynb")
        print(f"{name}: {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
