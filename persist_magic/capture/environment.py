"""What a cell's world consists of besides its globals.

Owns the record of directory, sys.path, chosen environment variables, versions, user and host, and of how the session draws
its figures. Knows nothing of values.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import CaptureError

CARRIED = ("PYTHONPATH",)
"""Variables that job.sh unsets, so that nothing in them can keep the worker from starting; the cell gets them back.

All others reach the job through the process that starts it, and are written down only if they were chosen: they may hold
secrets.
"""

_SECRET = re.compile(
    r"(?:.*_)?(?:[A-Z]*(?:TOKEN|(?:SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|APIKEY)S?)(?:_.*)?|KEYS?(?:_.*)?|AUTH|PASS|PWD)"
)
_NO_SECRETS = ("PWD", "OLDPWD")


def looks_secret(name: str) -> bool:
    """Return whether an environment variable's name says that it holds a secret, as AWS_SECRET_ACCESS_KEY does."""
    return name not in _NO_SECRETS and _SECRET.fullmatch(name.upper()) is not None


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
    notebook : bool
        Whether this is a Jupyter kernel.
    figures : dict
        See `figures`.
    """

    cwd: str
    sys_path: tuple[str, ...]
    variables: dict[str, str]
    python: str
    executable: str
    dill: str
    user: str
    host: str
    notebook: bool
    figures: dict[str, Any]


def record(chosen: Sequence[str] = ()) -> Environment:
    """Return the environment of this process.

    Parameters
    ----------
    chosen : sequence of str
        Names of environment variables to write down; those of which the name says that they hold a secret are left out.
    """
    try:
        cwd = os.getcwd()
    except FileNotFoundError:
        raise CaptureError("the session's directory has been deleted; change to another, where the job is to run") from None
    return Environment(
        cwd=cwd,
        sys_path=tuple(dict.fromkeys(os.path.abspath(entry) if entry else cwd for entry in map(os.fspath, sys.path))),
        variables={name: os.environ[name] for name in (*CARRIED, *chosen) if name in os.environ and not looks_secret(name)},
        python=sys.version.split()[0],
        executable=sys.executable,
        dill=str(getattr(sys.modules.get("dill"), "__version__", "")),
        user=user_name(),
        host=os.uname().nodename,
        notebook=in_notebook(),
        figures=figures(),
    )


def ipython_shell() -> Any:
    """Return the IPython shell of this process, or None; IPython is not imported for it."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def in_notebook() -> bool:
    """Return whether this is a Jupyter kernel, so that what is shown goes to a page."""
    return hasattr(ipython_shell(), "kernel")


_PROCESSES_OWN = ("backend", "backend_fallback", "interactive", "toolbar")
_INLINE_SETTINGS = ("figure_formats", "print_figure_kwargs", "close_figures")


def figures() -> dict[str, Any]:
    """Return what the session has changed of how figures look; nothing is imported for it.

    Returns
    -------
    dict
        ``rc``: matplotlib's settings that differ from its configuration files'; ``inline``: those of the inline backend.
        What JSON has no form for is written as matplotlib reads it from such a file (a cycler), or left out.
    """
    found: dict[str, Any] = {}
    matplotlib = sys.modules.get("matplotlib")
    changed, original = (getattr(matplotlib, name, None) for name in ("rcParams", "rcParamsOrig"))
    if isinstance(changed, dict) and isinstance(original, dict):
        rc = {
            name: _written(value)
            for name, value in dict.items(changed)
            if name not in _PROCESSES_OWN and value != dict.get(original, name)
        }
        found["rc"] = {name: value for name, value in rc.items() if value is not None}
    inline = getattr(sys.modules.get("matplotlib_inline.config"), "InlineBackend", None)
    if inline is not None and inline.initialized():
        settings = inline.instance()
        named = {name: getattr(settings, name, None) for name in _INLINE_SETTINGS}
        named = {name: sorted(value) if isinstance(value, set) else value for name, value in named.items()}
        found["inline"] = {name: value for name, value in named.items() if value is not None and _is_json(value)}
    return {name: values for name, values in found.items() if values}


def _written(value: Any) -> Any:
    if type(value).__name__ == "Cycler":
        return repr(value)
    return value if _is_json(value) else None


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def user_name() -> str:
    """Return the login name, or the number if the system knows no name for it (as in containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
