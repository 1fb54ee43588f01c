"""``python -m tests.cluster start|stop|packages``: the cluster by hand.

    eval "$(python -m tests.cluster start)"    # now sbatch, squeue and %%persist --slurm work in this shell
    python -m tests.cluster stop

Owns the words of the command; ``packages`` prints the Debian packages that are needed, and needs none of them itself.
"""

from __future__ import annotations

import argparse
import os
import tempfile

from .cluster import PACKAGES, Cluster

DEFAULT = os.path.join(tempfile.gettempdir(), "persist-magic-cluster")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="A Slurm cluster on this machine.")
    parser.add_argument("what", choices=["start", "stop", "packages", "stop-daemon", "start-daemon"])
    parser.add_argument("daemon", nargs="?", help="munged, mariadbd, slurmdbd, slurmctld, n1, n2 or n3")
    parser.add_argument("--directory", default=DEFAULT, help=f"where it lives; default {DEFAULT}")
    parser.add_argument("--no-accounting", action="store_true", help="no slurmdbd: sacct knows nothing")
    parser.add_argument("--min-job-age", type=int, default=300, metavar="S", help="how long ended jobs are remembered")
    words = parser.parse_args()
    if words.what == "packages":
        print(*PACKAGES)
        return
    cluster = Cluster(words.directory, accounting=not words.no_accounting, min_job_age=words.min_job_age)
    if words.what == "start":
        cluster.start()
        print(f"export SLURM_CONF={cluster.configuration}")
    elif words.what == "stop":
        cluster.stop()
    elif words.daemon is None:
        parser.error(f"{words.what} needs the name of a daemon")
    elif words.what == "stop-daemon":
        cluster.stop_daemon(words.daemon)
    else:
        cluster.start_daemon(words.daemon)


if __name__ == "__main__":
    main()
