"""A real Slurm cluster in one directory. Owns its daemons: their order, when each of them answers, and their end."""

from __future__ import annotations

import contextlib
import getpass
import inspect
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from . import configuration, processes
from .processes import Process

PACKAGES = ("slurm-wlm", "slurmdbd", "munge", "mariadb-server-core", "mariadb-client-core")
"""What apt-get must have installed, on Debian and Ubuntu."""
PATIENCE = 60.0
"""Seconds until a daemon that does not answer is given up."""
CLUSTER = "tiny"


class ClusterError(Exception):
    """A cluster did not do what it should; the words tell what its daemons said."""


class Cluster:
    """A Slurm cluster whose nodes all are this machine."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        accounting: bool = True,
        nodes: int = 3,
        min_job_age: int = 300,
        kill_wait: int = 15,
        max_array_size: int = 1001,
        slurmd_timeout: int = 15,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.directory = Path(directory).absolute()
        self.accounting = accounting
        self.nodes = tuple(f"n{number}" for number in range(1, nodes + 1))
        self.settings = {
            "MinJobAge": min_job_age,
            "KillWait": kill_wait,
            "MaxArraySize": max_array_size,
            "SlurmdTimeout": slurmd_timeout,
            **(settings or {}),
        }
        self._ports: dict[str, int] = {}
