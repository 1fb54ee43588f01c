"""``python -m tests.cluster start|stop|packages``: the cluster by hand.

    eval "$(python -m tests.cluster start)"    # now sbatch, squeue and %%persist --slurm work in this shell
    python -m tests.cluster stop-daemon slurmctld
    python -m tests.cluster start-daemon slurmctld
    python -m tests.cluster stop

Owns the words of the command; ``packages`` prints the Debian packages that are needed, and needs none of them itself.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .cluster import PACKAGES, Cluster, ClusterError

DIRECTORY = Path(tempfile.gettempdir(), "persist-magic-cluster")


def parser() -> argparse.ArgumentParser:
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument(
        "--directory", type=Path, default=DIRECTORY, help=f"where it lives, at most 55 characters; {DIRECTORY}"
    )
    top = argparse.ArgumentParser(prog="python -m tests.cluster", description="A real Slurm cluster on this machine.")
    commands = top.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", parents=[place], help="start it, and print what the shell is to evaluate")
    start.add_argument("--no-accounting", action="store_true", help="no slurmdbd: sacct fails")
    start.add_argument("--min-job-age", type=int, default=300, metavar="S", help="how long ended jobs are remembered; 300")
    commands.add_parser("stop", parents=[place], help="end it and its jobs, and remove its directory")
    for command, words in {"stop-daemon": "an outage", "start-daemon": "its end"}.items():
        daemon = commands.add_parser(command, parents=[place], help=words)
        daemon.add_argument("name", help="munged, mariadbd, slurmdbd, slurmctld, n1, n2 or n3")
    commands.add_parser("packages", help="what apt-get must install")
    return top


def main() -> None:
    arguments = parser().parse_args()
    try:
        if arguments.command == "packages":
            print(*PACKAGES)
        elif arguments.command == "start":
            accounting = not arguments.no_accounting
            cluster = Cluster(arguments.directory, accounting=accounting, min_job_age=arguments.min_job_age).start()
            print(f"export SLURM_CONF={cluster.configuration}")
        elif arguments.command == "stop":
            Cluster.attach(arguments.directory).stop()
        elif arguments.command == "stop-daemon":
            Cluster.attach(arguments.directory).stop_daemon(arguments.name)
        else:
            Cluster.attach(arguments.directory).start_daemon(arguments.name)
    except ClusterError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
