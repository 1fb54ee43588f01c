"""The house itself: which way imports go, what a start imports, what every module says first, that errors travel."""

from __future__ import annotations

import ast
import builtins
import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import persist_magic
from persist_magic import errors

from .conftest import Session, environment

README = Path(__file__).parents[1] / "README.md"
PACKAGE = Path(persist_magic.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

# Who may import whom: a room knows only those that stand below it here.
ROOMS = [
    {"__main__", "magics"},
    {"commands"},
    {"doctor"},
    {"views"},
    {"monitor"},
    {"submission"},
    {"sweep"},
    {"job"},
    {"session"},
    {"replay"},
    {"backends"},
    {"tasks"},
    {"status"},
    {"worker"},
    {"capture"},
    {"restore"},
    {"chunks"},
    {"slots", "outputs", "journal"},
    {"store"},
    {"processes"},
    {"each"},
    {"logs"},
    {"frozen", "errors", "digests", "walltime", "files", "findings"},
    {"text"},
]
RANK = {room: rank for rank, rooms in enumerate(reversed(ROOMS)) for room in rooms}
# __init__ imports lazily, by name.
FREE = {"__init__"}
# What a room may not know although it stands below: a backend is handed what it needs.
FORBIDDEN = {"backends": {"capture"}}


def room(module: str) -> str:
    return module.removesuffix(".py").split("/")[0]


def imported_rooms(path: Path) -> set[str]:
    """The rooms of the package that a module imports, anywhere in it."""
    depth = len(path.relative_to(PACKAGE).parts)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [f"{node.module}." if node.module else f"{alias.name}." for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}.".removeprefix("persist_magic.") for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [
                f"{alias.name}.".removeprefix("persist_magic.") for alias in node.names if "persist_magic" in alias.name
            ]
        found |= {name.split(".")[0] for name in names}
    return found & RANK.keys()


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) not in FREE])
def test_imports_run_down_only(module: str) -> None:
    here = room(module)
    below = {each for each in RANK if RANK[each] < RANK[here]} | {here}
    assert imported_rooms(PACKAGE / module) - below == set()
    assert imported_rooms(PACKAGE / module) & FORBIDDEN.get(here, set()) == set()


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_owns(module: str) -> None:
    words = ast.get_docstring(ast.parse((PACKAGE / module).read_text()))
    assert words, module
    if not module.endswith(("__init__.py", "worker/__main__.py")):
        assert "Owns " in words, module


def modules_after(code: str, *words: str) -> set[str]:
    """What a fresh Python has imported after some code."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    command = [sys.executable, "-c", script, *words]
    return set(subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout.split())


def test_loading_the_extension_imports_neither_widgets_nor_numpy() -> None:
    shell = "from IPython.core.interactiveshell import InteractiveShell\nip = InteractiveShell.instance()\n"
    loaded = modules_after(shell + "ip.run_line_magic('load_ext', 'persist_magic')")
    assert "persist_magic.magics" in loaded
    assert loaded & {
        "ipywidgets",
        "anywidget",
        "numpy",
        "pandas",
        "dill",
        "psutil",
        "rich",
        "asyncio.base_events",
    } <= modules_after(shell)


def test_the_package_itself_imports_next_to_nothing() -> None:
    assert {name for name in modules_after("import persist_magic") if name.startswith("persist_magic")} == {"persist_magic"}


def test_windows_is_refused_with_words() -> None:
    code = "import sys\nsys.platform = 'win32'\nimport persist_magic"
    told = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert told.stderr.endswith("ImportError: persist_magic needs fork: Linux, macOS, or on Windows WSL\n")


def test_a_plain_cells_worker_needs_the_standard_library_only(session: Session) -> None:
    session.run("numbers = [1, 2.5, 'three', {4}]")
    loaded = set(session.persist("plain", "import sys\nresult = sorted(sys.modules)\nnumbers\nresult").fetch(60))
    roots = {name.partition(".")[0] for name in loaded} - {"persist_magic", "__main__", "__mp_main__"}
    foreign = {name for name in roots if name not in sys.stdlib_module_names}
    at_start = {name.partition(".")[0] for name in modules_after("pass")}  # what site's .pth files bring
    assert foreign - at_start == set()
    assert "asyncio" not in loaded
    assert "inspect" not in loaded or "inspect" in modules_after("import dataclasses")


def test_a_cell_with_captured_functions_needs_no_dill_either(session: Session) -> None:
    session.run("class Box:\n    def value(self): return helper()\ndef helper(): return 5")
    job = session.persist(
        "functions", "import sys\nvalue = Box().value()\n(value, 'dill' in sys.modules, 'IPython' in sys.modules)"
    )
    assert job.fetch(60) == (5, False, False)


SAMPLES = {
    errors.NoSuchJob: ("a", "/root", ("b",)),
    errors.JobExists: ("a", ("the cell changed",), True),
    errors.JobTimeout: ("a", 1.5, "running"),
    errors.TasksFailed: ("a", 3, ((1, "x=1", "ValueError: no"), (2, "x=2", "no"))),
}


def _is_error(value: object) -> bool:
    return inspect.isclass(value) and value.__module__ == errors.__name__ and not issubclass(value, Warning)


@pytest.mark.parametrize(
    "kind",
    [kind for _, kind in inspect.getmembers(errors, _is_error)],
    ids=lambda k: k.__name__,
)
def test_errors_share_a_base_and_travel(kind: type[errors.PersistError]) -> None:
    assert issubclass(kind, errors.PersistError)
    if kind in SAMPLES:
        arguments: tuple[object, ...] = SAMPLES[kind]
    elif kind.__init__ is Exception.__init__ or "__init__" not in vars(kind):
        arguments = ("words",)
    else:
        arguments = tuple("x" for _ in list(inspect.signature(kind).parameters))
        if kind is errors.NoSuchVariable or kind is errors.NameTaken or kind is errors.MissingNames:
            arguments = (*arguments[:-1], ("n",))
    error = kind(*arguments)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, str(copy)) == (kind, error.args, str(error))


def test_the_version_is_the_distributions() -> None:
    from importlib.metadata import version

    assert persist_magic.__version__ == version("persist_magic")


def test_public_names_are_there() -> None:
    for name in persist_magic.__all__:
        assert getattr(persist_magic, name) is not None
    assert set(persist_magic.__all__) <= set(dir(persist_magic))


def test_the_readmes_promises_are_held_by_tests() -> None:
    promises = README.read_text(encoding="utf-8").partition("## What it promises")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(test_\w+)`", promises))
    there = {
        name for path in README.parent.glob("tests/**/*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) > 20
    assert named <= there


RAISES = re.compile(r"^Raises\n-+\n(.*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("module", MODULES)
def test_the_errors_that_docstrings_name_exist(module: str) -> None:
    tree = ast.parse((PACKAGE / module).read_text())
    here = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    known = here | vars(errors).keys() | vars(builtins).keys()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (words := ast.get_docstring(node)):
            for section in RAISES.findall(words):
                named = re.findall(r"^(?! )(.+)$", section, re.MULTILINE)
                assert set(", ".join(named).split(", ")) <= known, f"{module}: {node.name}"
