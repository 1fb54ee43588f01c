"""What a cell's world consists of besides its globals.

Owns the record of directory, sys.path, chosen environment variables, versions, user and host. Knows nothing of values.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import CaptureError

CARRIED = ("PYTHONPATH",)
"""Variables that job.sh unsets, so that nothing in them can keep the worker from starting; the cell gets them back.

All others reach the job through the process that starts it, and are written down only if they were chosen: they may hold
secrets.
"""


@dataclass(frozen=True)
class Environment:
    """Where the session stands.

    Attributes
    ----------
    sys_path : tuple of str
        Absolute; the empty entry of an interactive session is its directory.
    executable : str
        The Python that the job runs under.
    dill : str
        Version of dill if it has been needed, else empty.
    """

    cwd: str
    sys_path: tuple[str, ...]
    variables: dict[str, str]
    python: str
    executable: str
    dill: str
    user: str
    host: str


def record(chosen: Sequence[str] = ()) -> Environment:
    """Return the environment of this process.

    Parameters
    ----------
    chosen : sequence of str
        Names of environment variables to write down.
    """
    try:
        cwd = os.getcwd()
    except FileNotFoundError:
        raise CaptureError("the session's directory has been deleted; change to another, where the job is to run") from None
    return Environment(
        cwd=cwd,
        sys_path=tuple(dict.fromkeys(os.path.abspath(entry) if entry else cwd for entry in map(os.fspath, sys.path))),
        variables={name: os.environ[name] for name in (*CARRIED, *chosen) if name in os.environ},
        python=sys.version.split()[0],
        executable=sys.executable,
        dill=str(getattr(sys.modules.get("dill"), "__version__", "")),
        user=user_name(),
        host=os.uname().nodename,
    )


def user_name() -> str:
    """Return the login name, or the number if the system knows no name for it (as in containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
