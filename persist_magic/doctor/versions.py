"""What is installed: Python, the packages, and which Python the shell's command belongs to.

Owns how versions are compared with what the distribution asks for.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from ..findings import Finding, Verdict

TOPIC = "versions"
NEWEST_TESTED = (3, 13)
DISTRIBUTION, COMMAND = "persist_magic", "persist-magic"

# What the distribution asks for: all of it are least versions, so that no more needs to be understood.
_REQUIREMENT = re.compile(r'([\w.-]+)(?:>=([\w.]+))?(?:; extra == "(\w+)")?')


def examine() -> Iterator[Finding]:
    """Yield what is found of the packages, of the system, and of the command for shells."""
    python = f"Python {platform.python_version()}, {sys.executable}"
    try:
        ours = version(DISTRIBUTION)
    except PackageNotFoundError:
        words = f"{python}: persist_magic is found on sys.path but not installed; versions are not compared"
        yield Finding(
            TOPIC, Verdict.WARNING, words, f"{sys.executable} -m pip install persist_magic, or pip install . there"
        )
    else:
        yield Finding(TOPIC, Verdict.OK, f"persist_magic {ours}, {python}")
        yield from _packages()
    if sys.version_info[:2] > NEWEST_TESTED:
        newest = ".".join(map(str, NEWEST_TESTED))
        words = f"newer than Python {newest}, the last one that persist_magic is tested with"
        yield Finding(TOPIC, Verdict.WARNING, words, f"should a capture fail, try it in an environment of Python {newest}")
    yield _system()
    yield _command()


def least(package: str, extra: str = "") -> str:
    """Return the least version of a package that the distribution asks for; "" if it does not say."""
    return _required(extra).get(package, "")


def _required(extra: str) -> dict[str, str]:
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        lines = []
    found = [match.groups() for line in lines if (match := _REQUIREMENT.fullmatch(line))]
    return {name: wanted or "" for name, wanted, of in found if (of or "") == extra}


def _packages() -> Iterator[Finding]:
    good = []
    for name, wanted in _required("").items():
        try:
            found = version(name)
        except PackageNotFoundError:
            words = f"{name} is not installed, of which persist_magic needs {wanted or 'any version'}"
        else:
            if not is_older(found, wanted):
                good.append(f"{name} {found}")
                continue
            words = f"{name} {found} is older than {wanted}, which persist_magic needs"
        yield Finding(TOPIC, Verdict.TROUBLE, words, f"{sys.executable} -m pip install '{name}>={wanted or 0}'")
    if good:
        yield Finding(TOPIC, Verdict.OK, ", ".join(good))


def is_older(found: str, wanted: str) -> bool:
    """Return whether a version comes before another, by the numbers that they begin with."""
    return _numbers(found) < _numbers(wanted)


def _numbers(text: str) -> list[int]:
    numbers = re.match(r"(?:\d+(?:\.\d+)*)?", text)
    found = [int(each) for each in numbers[0].split(".")] if numbers is not None and numbers[0] else []
    return found + [0] * (4 - len(found))  # 8 is 8.0


def _system() -> Finding:
    words = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if sys.platform == "linux":
        return Finding(TOPIC, Verdict.OK, words)
    return Finding(TOPIC, Verdict.FACT, f"{words}: should work; only Linux is tested")


def _command() -> Finding:
    """A command of another Python would run another version, on another set of packages."""
    this = f"{sys.executable} -m persist_magic"
    path = shutil.which(COMMAND)
    if path is None:
        return Finding(TOPIC, Verdict.FACT, f"{COMMAND} is not in PATH; {this} is the same")
    ours = {os.path.realpath(sysconfig.get_path("scripts", each)) for each in ("posix_user", sysconfig.get_default_scheme())}
    if ours & {os.path.realpath(os.path.dirname(path)), os.path.dirname(os.path.realpath(path))}:
        return Finding(TOPIC, Verdict.OK, f"{path} is this Python's")
    return Finding(TOPIC, Verdict.WARNING, f"{path} belongs to another Python than this one", f"{this} is this one's")
