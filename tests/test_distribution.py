"""What is given away: an sdist and a wheel, and what somebody has who installed the wheel and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from .conftest import environment

CHECKOUT = Path(__file__).parents[1]

CELLS = '''
import persist_magic, sys
assert sys.argv[1] in persist_magic.__file__, persist_magic.__file__
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()

def run(cell):
    return shell.run_cell(cell, store_history=True).raise_error()

run("%load_ext persist_magic")
run("""
import math
class Circle:
    def __init__(self, radius): self.radius = radius
    def area(self): return math.pi * self.radius**2
circles = [Circle(n) for n in range(4)]
""")
run("%%persist areas\\nprint('measuring')\\nlargest = max(circles, key=Circle.area)\\nsum(map(Circle.area, circles))")
run("area = %persist_fetch areas largest")
print(f"area {shell.user_ns['area']:.2f} radius {shell.user_ns['largest'].radius}")
run("%%persist roots --each n=[1, 4, 9]\\nn ** 0.5")
print("roots", shell.user_ns["_"].fetch())

from ipywidgets.widgets.widget import _instances
from persist_magic.views.dashboard import bundle
view = bundle()[0]["application/vnd.jupyter.widget-view+json"]
page = _instances[view["model_id"]].get_state()
print("module", "export default" in page["_esm"], "styles", "{" in page["_css"])
'''


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with sdist and wheel: those that `tests/run` has made, or of this checkout."""
    if made := os.environ.get("PERSIST_TESTS_DISTRIBUTIONS"):
        return Path(made)
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(CHECKOUT)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def installed(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment's folder of programs, with the wheel and what it requires."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=True)
    (wheel,) = distributions.glob("*.whl")
    command = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    return place / "bin"


def run(*words: str | Path, cwd: Path) -> str:
    """Run a program of the new environment; return what it prints."""
    names = {"PERSIST_ROOT": str(cwd / ".persist"), "IPYTHONDIR": str(cwd / ".ipython")}
    command = [str(word) for word in words]
    done = subprocess.run(command, cwd=cwd, env=environment(**names), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_all_that_runs_and_nothing_else(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"persist_magic/{name}" for name in ("py.typed", "views/dashboard.js", "views/dashboard.css")} <= set(names)
    (place,) = {name.split("/")[0] for name in names} - {"persist_magic"}
    assert place.endswith(".dist-info")
    assert f"{place}/licenses/LICENSE" in names
    assert {Path(name).suffix for name in names if not name.startswith(place)} == {".py", ".typed", ".js", ".css"}
    (sdist,) = distributions.glob("*.tar.gz")
    source = {name.partition("/")[2] for name in tarfile.open(sdist).getnames()}
    assert {name for name in source if name.startswith("persist_magic/") and name.endswith(".py")} <= set(names)


def test_the_sdist_has_all_that_is_needed_to_test_it(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    names = {name.partition("/")[2] for name in tarfile.open(sdist).getnames()}
    tests = {path.relative_to(CHECKOUT).as_posix() for path in CHECKOUT.glob("tests/**/*.py")}
    assert tests <= names
    assert {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "setup.cfg", "tests/run", ".ci/run"} <= names
    assert {"tests/faults/interpose.c", "notebooks/quickstart.ipynb", "persist_magic/views/dashboard.js"} <= names


def test_what_is_installed_works_by_itself(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "cells.py").write_text(CELLS)
    shown = run(installed / "python", "cells.py", installed.parent, cwd=tmp_path)
    assert "areas → local, pid " in shown
    assert "area 43.98 radius 3\n" in shown
    assert "roots [1.0, 2.0, 3.0]\n" in shown
    assert "module True styles True\n" in shown
    assert run(installed / "persist-magic", "log", "areas", cwd=tmp_path) == "measuring\n"
    listed = run(installed / "persist-magic", "status", "--plain", cwd=tmp_path)
    assert {line.split()[0]: line.split()[1] for line in listed.splitlines()[1:]} == {"areas": "done", "roots": "done"}


def test_its_types_are_known_to_others(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(
        "import persist_magic\njob = persist_magic.load('areas')\nreveal_type(job)\nreveal_type(persist_magic.persist)\njob.wait('long')\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installed / "python"), "user.py"]
    told = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False).stdout
    assert 'user.py:3: note: Revealed type is "persist_magic.job.Job"' in told
    assert 'user.py:5: error: Argument 1 to "wait" of "Job" has incompatible type "str"' in told
    assert told.count("error:") == 1, told
