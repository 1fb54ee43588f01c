"""Fine points of arrays, modules and Pythons: what once was wrong, each in a small story."""

import re
import subprocess

import numpy as np
import pytest

from persist_magic import persist
from persist_magic.errors import JobExists

from . import test_views
from .test_askers import asked
from .test_modules import FILES, own_modules, write
from .test_skew import PYTHONS

LAYOUTS = {
    "a layout of neither order": "y = np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2) + 0\nv = y[1]",
    "the same, large": "y = np.arange(240_000).reshape(20, 30, 400).transpose(1, 0, 2) + 0\nv = y[1]",
    "the view alone": "y = np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2) + 0\nv = y[1:]\ndel y",
    "windows": "y = np.lib.stride_tricks.sliding_window_view(np.arange(10.0), 3)\nv = y[::2]",
}


@pytest.mark.parametrize("setup", LAYOUTS.values(), ids=LAYOUTS)
def test_a_view_has_its_values(session, setup):
    namespace = session(f"import numpy as np\n{setup}")
    job = session.persist("view", "v.tolist()" if "del y" in setup else "len(y)\nv.tolist()")
    assert job.fetch(60) == namespace["v"].tolist()
    assert list(job.variables) == []


UNCHANGED = {
    "a small strided array": ("x = np.arange(100)[::10]", "x.sum()"),
    "a large strided array": ("x = np.ones(100_000)[::10]", "x.sum()"),
    "a view, and all of its base in another shape": (
        "x = np.ones(100_000)\nv, t = x[1:], x.reshape(100, -1).T",
        "x.sum() + v.sum() + t.sum()",
    ),
}


@pytest.mark.parametrize(("setup", "cell"), UNCHANGED.values(), ids=UNCHANGED)
def test_what_did_not_change_is_no_variable(session, setup, cell):
    session(f"import numpy as np\n{setup}")
    job = session.persist("same", cell)
    job.wait(60)
    assert list(job.variables) == []


CHANGED = {
    "the base of a view that comes first": (
        "x = np.zeros(100_000)\nv, w = x[:10], x[10:20]",
        "x[5] = 1\nlen(v), len(w)\nNone",
        ["v", "x"],
    ),
    "an alias": ("x = np.zeros(100_000)\ny = x", "x[0] = 1\ny\nNone", ["x", "y"]),
    "the base behind a name that comes first": ("z = np.zeros(100_000)\na = z[::2]", "a[1] = 5\nlen(z)\nNone", ["a", "z"]),
    "the base in a list": ("shelf = [np.zeros(100_000)]\nv = shelf[0][2:]", "v[0] = 5\nlen(shelf)\nNone", ["shelf", "v"]),
}


@pytest.mark.parametrize(("setup", "cell", "variables"), CHANGED.values(), ids=CHANGED)
def test_what_changed_is_a_variable(session, setup, cell, variables):
    session(f"import numpy as np\n{setup}")
    job = session.persist("changed", cell)
    job.wait(60)
    assert sorted(job.variables) == variables


STRIDED = {
    "strided": "np.zeros(75_000_000)[::3]",
    "rows of a larger one": "np.zeros((15_000, 5_000))[::3, :]",
    "rows longer than a piece": "np.zeros((5, 15_000_000))[:, ::3]",
}


@pytest.mark.parametrize("expression", STRIDED.values(), ids=STRIDED)
def test_a_captured_strided_array_is_written_without_a_copy(tmp_path, expression):
    test_views.test_a_large_array_is_written_without_a_copy_of_it_in_memory(tmp_path, "capture", expression)


NOTED = {
    "objects, the view's name first": "x = np.array([[1], [2], None], dtype=object)\nv = x[::-1]",
    "a record array": "x = np.zeros(5, dtype=[('a', 'i4')])\nv = x.view(np.recarray)",
    "windows": "x = np.arange(10.0)\nv = np.lib.stride_tricks.sliding_window_view(x, 3)",
}


@pytest.mark.parametrize("setup", NOTED.values(), ids=NOTED)
def test_memory_that_is_shared_no_more_is_noted(session, setup):
    session(f"import numpy as np\n{setup}")
    submission = session.submit("noted", "np.shares_memory(x, v)")
    assert submission.job.fetch(60) or re.search(r"\bx\b.*\bv\b|\bv\b.*\bx\b", " ".join(submission.capture.warnings))


UNTOUCHED = {
    "a decorated function": "import functools\ndef twice(f):\n    @functools.wraps(f)\n    def wrapper(*a): return 2 * f(*a)\n    return wrapper\n@twice\ndef g(x): return x\n",
    "a property with a setter": "class P:\n    @property\n    def x(self): return 1\n    @x.setter\n    def x(self, v): pass\n",
    "one of two definitions": "import sys\nif sys.platform:\n    def f(): return 1\nelse:\n    def f(): return 2\n",
    "a cache that was filled": "CACHE = {}\ndef f(x): return CACHE.setdefault(x, x)\nf(1)\n",
    "a counter": "count = 0\ndef f():\n    global count\n    count += 1\nf()\n",
    "a name assigned twice": "X = None\nX = 5\n",
}


@pytest.mark.parametrize("text", UNTOUCHED.values(), ids=UNTOUCHED)
def test_an_untouched_module_gives_no_note(session, home, text):
    write(home, {"still.py": text})
    session("import still")
    assert session.submit("still", "still").capture.warnings == ()


DOCUMENTED = '"""Doc."""\ndef f():\n    """Old."""\n    return 1\n'


@pytest.mark.parametrize(
    "text",
    [DOCUMENTED.replace("Doc.", "Documentation."), DOCUMENTED.replace("Old.", "Newer."), DOCUMENTED + "# comment\n"],
    ids=["the module's docstring", "a function's docstring", "a comment"],
)
def test_an_edit_of_words_only_gives_no_note(session, home, text):
    write(home, {"words.py": DOCUMENTED})
    session("import words")
    write(home, {"words.py": text})
    assert session.submit("words", "words").capture.warnings == ()


def test_a_module_that_is_new_is_told(session, home):
    session.persist("late", "import later").wait(60)
    write(home, {"later.py": "X = 1\n"})
    with pytest.raises(JobExists, match="module later") as refusal:
        session.persist("late", "import later")
    assert refusal.value.differences


BY_THE_CELL = {
    "a submodule": ("import pack.sub\npack.sub.other.VALUE", ["pack", "pack.other", "pack.sub"]),
    "by from": ("from pack import sub\nsub.other.VALUE", ["pack", "pack.other", "pack.sub"]),
    "from a submodule": ("from pack.sub import other\nother.VALUE", ["pack", "pack.other", "pack.sub"]),
    "a namespace package": ("import space.part\nspace.part.VALUE - 1", ["space", "space.part"]),
}


@pytest.mark.parametrize(("cell", "modules"), BY_THE_CELL.values(), ids=BY_THE_CELL)
def test_packages_that_only_the_cell_imports_are_local_too(session, home, cell, modules):
    write(home, FILES)
    job = session.persist("cell", cell, snapshot=True)
    assert job.fetch(60) == 7
    assert own_modules(job) == modules


USES = {
    "data of another": "from constants import LIMIT\ndef f(): return LIMIT\n",
    "all of another": "from constants import *\ndef f(): return LIMIT\n",
    "another in a function": "def f():\n    import constants\n    return constants.LIMIT\n",
}


@pytest.mark.parametrize("text", USES.values(), ids=USES)
def test_a_snapshot_has_all_that_a_module_imports(session, home, text):
    write(home, {"tools.py": text, "constants.py": "LIMIT = 3\n"})
    session("import tools")
    job = session.persist("kept", "tools.f()", snapshot=True)
    assert job.fetch(60) == 3
    write(home, {"constants.py": "LIMIT = 3_000\n"})
    assert job.rerun().fetch(60) == 3
    assert own_modules(job) == ["constants", "tools"]


def test_the_job_has_the_sessions_module_of_two_with_one_name(session, home, monkeypatch):
    write(home, {"a/twin.py": "WHERE = 'a'\n", "b/twin.py": "WHERE = 'the other'\n"})
    monkeypatch.chdir(home / "a")
    session("import twin")
    monkeypatch.chdir(home / "b")
    assert session.persist("twin", "twin.WHERE").fetch(60) == "a"


@pytest.mark.parametrize("writer", range(len(PYTHONS)))
def test_paths_are_read_by_every_python(tmp_path, writer):
    """Fails only if 3.13 is among PERSIST_TESTS_PYTHONS."""
    write_it = "import pathlib, sys\nfrom persist_magic import persist\npersist(pathlib.Path, 'p', args=('/a',), root=sys.argv[1]).wait(60)"
    read_it = "import sys\nfrom persist_magic import load\nprint(load('p', sys.argv[1]).fetch(60))"
    root = str(tmp_path / ".persist")
    subprocess.run([PYTHONS[writer], "-c", write_it, root], check=True)
    for python in PYTHONS:
        read = subprocess.run([python, "-c", read_it, root], capture_output=True, text=True, check=True)
        assert read.stdout == "/a\n", python


def test_a_generator_of_random_numbers_is_captured(session):
    """Fails with numpy 2.2 (Python 3.10)."""
    session("import numpy as np\nrng = np.random.default_rng(4)")
    assert session.persist("rng", "rng.random()").fetch(60) == np.random.default_rng(4).random()


def test_a_persisted_functions_chain_has_no_internal_name(session, root):
    namespace = session("thr = 0.5\ndef good(v): return v > thr\ndef select(vs): return [v for v in vs if good(v)]")
    chains = asked(persist(namespace["select"], "call", args=([0, 1],), root=root).info()["names"])
    assert chains["good"] == "select()"
    assert "__persist_call__" not in " ".join(chains.values())
