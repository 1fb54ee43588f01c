"""What a session holds arrives in the job as it was, and what the job makes comes back as it is.

The stories are told in `stories`; each is a real session with a real ``%%persist`` (see `sessions`). Below stand the questions
that need more than one submission.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from persist_magic import load, persist
from persist_magic.capture.cell import Selection, Source
from persist_magic.errors import JobExists, JobFailed, MissingNames, Unpicklable
from persist_magic.submission import jobs, preview, submit

from .sessions import play
from .stories.classes import CLASSES
from .stories.data import DATA
from .stories.functions import FUNCTIONS
from .stories.homecoming import HOMECOMING
from .stories.library import LIBRARY
from .stories.notebook import NOTEBOOK
from .stories.refused import REFUSED
from .stories.science import SCIENCE

SURVIVES = {
    f"{table} · {name}": story
    for table, stories in {
        "functions": FUNCTIONS,
        "classes": CLASSES,
        "data": DATA,
        "library": LIBRARY,
        "science": SCIENCE,
        "notebook": NOTEBOOK,
    }.items()
    for name, story in stories.items()
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What became of every story of this module, by its name."""
    refused = {name: story[:2] for name, story in REFUSED.items()}
    return play({**SURVIVES, **HOMECOMING, **refused}, tmp_path_factory.mktemp("stories"))


@pytest.mark.parametrize("story", SURVIVES)
def test_it_arrives_as_it_was(answers, story):
    if answers[story].failure:
        pytest.fail(answers[story].failure, pytrace=False)


@pytest.mark.parametrize("story", HOMECOMING)
def test_it_comes_back_as_it_is(answers, story):
    if answers[story].failure:
        pytest.fail(answers[story].failure, pytrace=False)


@pytest.mark.parametrize("story", REFUSED)
def test_what_belongs_to_the_session_is_refused_with_the_way_to_it(answers, story):
    *_, path, word = REFUSED[story]
    refused = answers[story].refused
    assert refused.get("type") == "Unpicklable", answers[story]
    if path.endswith("…"):
        assert refused["path"].startswith(path[:-1])
    else:
        assert refused["path"] == path
    assert word in refused["reason"]
    assert "\n" not in refused["words"]
    assert f"--without {refused['variable']}" in refused["words"]


def test_no_two_stories_have_one_name():
    tables = (SURVIVES, HOMECOMING, REFUSED)
    assert len({name for table in tables for name in table}) == sum(map(len, tables))


# ---------------------------------------------------------------- more than one submission


def test_changing_the_session_after_the_submission_does_not_change_the_job(session, root):
    namespace = session("data = [1, 2]\ndef f(): return sum(data)")
    job = submit("early", Source("cell", "f()", "f()"), namespace, root=root).job
    namespace["data"].append(100)
    namespace["data"] = None
    assert job.fetch(timeout=60) == 3


def test_a_function_runs_as_a_job(session, root):
    """``persist(f, name, args=…)``, with a function of the session and one of a library."""
    namespace = session("offset = 10\ndef add(a, *, b): return a + b + offset")
    job = persist(namespace["add"], "add", args=(1,), kwargs={"b": 2}, root=root)
    assert job.fetch(timeout=60) == 13
    assert persist(os.path.basename, "base", args=("/a/b",), root=root).fetch(timeout=60) == "b"


def test_a_refused_cell_leaves_no_job(session, root):
    namespace = session("config = {'log': open('/dev/null')}")
    with pytest.raises(Unpicklable, match=r"config\['log'\].*an open file") as refusal:
        submit("nolog", Source("cell", "config", "config"), namespace, root=root)
    assert (refusal.value.path, refusal.value.variable) == ("config['log']", "config")
    assert jobs(root) == []


def test_an_argument_that_cannot_be_written_is_named(session, root):
    namespace = session("def f(x, y): return x")
    with pytest.raises(Unpicklable, match="generator") as refusal:
        persist(namespace["f"], "lazy", args=(1, (n for n in "ab")), root=root)
    assert "__persist_call__" not in str(refusal.value)
    assert jobs(root) == []


def test_names_that_do_not_exist_are_told_before_anything_is_written(session, root):
    namespace = session("frame = 1")
    with pytest.raises(MissingNames, match="frmae"):
        submit("typo", Source("cell", "frmae + 1", "frmae + 1"), namespace, root=root)
    assert not Path(root, "typo").exists()


def test_a_name_may_be_left_out_and_another_added(session, root):
    namespace = session("log = open('/dev/null')\nsecret = 5\nkey = 'secret'")
    cell = "try: log\nexcept NameError: found = globals()[key]\nfound"
    selection = Selection(add=("secret",), omit=("log",))
    job = submit("chosen", Source("cell", cell, cell), namespace, selection=selection, root=root).job
    assert job.fetch(timeout=60) == 5


def test_preview_tells_what_would_be_shipped_and_writes_nothing(session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = session("import numpy as np\nbig = np.zeros(1_000_000)\nK = 2\ndef f(): return big[0] * K\nother = 1")
    shipped = preview("job", Source("cell", "f()", "f()"), namespace, backend="local", options=(), selection=Selection())
    assert {each.name: each.asked_by for each in shipped.names} == {"f": "cell", "big": "f() ← cell", "K": "f() ← cell"}
    assert 8_000_000 < shipped.size < 8_010_000
    assert list(tmp_path.iterdir()) == []


def test_the_same_cell_with_the_same_inputs_is_the_same_job(session, root):
    setup = """
    import enum
    class Color(enum.Enum):
        RED = 1
    class P:
        def __init__(self): self.color, self.tags = Color.RED, {"b", "a", "c"}
    p = P()
    def f(): return len(p.tags), p.color.name
    """
    namespace = session(setup)
    first = submit("same", Source("cell", "f()", "f()"), namespace, root=root)
    again = submit("same", Source("cell", "f()", "f()"), namespace, root=root)
    assert (first.attached, again.attached) == (False, True)
    assert again.job.fetch(timeout=60) == (3, "RED")
    namespace["p"].tags.add("d")
    with pytest.raises(JobExists):
        submit("same", Source("cell", "f()", "f()"), namespace, root=root)
    assert load("same", root).fetch(timeout=60) == (3, "RED")


FINGERPRINT = """
import linecache, sys, types
from persist_magic.capture.cell import Selection, Source, capture
filler = [object() for _ in range(int(sys.argv[1]))]
main = sys.modules["__main__"] = types.ModuleType("__main__")
filename = f"<ipython-input-{sys.argv[1]}-0123>"
linecache.cache[filename] = (len(sys.argv[2]), None, sys.argv[2].splitlines(True), filename)  # as IPython does
exec(compile(sys.argv[2], filename, "exec"), main.__dict__)
print(capture("job", Source("cell", sys.argv[3], sys.argv[3]), main.__dict__, Selection(), None, None).fingerprint)
"""

SAME_AGAIN = {
    "plain data": ("x = {'b': [1, 2.5, None], 'a': ('t', b'u')}", "x"),
    "words in a set": ("x = {'alpha', 'beta', 'gamma', 'delta', 'epsilon'}\ny = frozenset(x)", "len(x), y"),
    "functions and closures": (
        "K = 2\ndef make(n):\n    def f(x): return x + n + K\n    return f\nf = make(1)\ng = lambda: f(3)",
        "g()",
    ),
    "names in a set in a function": ("def f(x): return x in {'alpha', 'beta', 'gamma', 'delta'}", "f('beta')"),
    "classes and instances": (
        "import enum\nclass E(enum.Enum):\n    A = 1\nclass C:\n    def __init__(self): self.e = E.A\nc = C()",
        "c.e",
    ),
    "dataclasses": ("from dataclasses import dataclass\n@dataclass\nclass D:\n    x: int = 1\nd = D()", "d"),
    "abstract classes": ("import abc\nclass A(abc.ABC):\n    @abc.abstractmethod\n    def f(self): ...", "A"),
    "arrays": ("import numpy as np\nx = np.arange(100_000.0)\ny = np.ones(3)", "x, y"),
}


@pytest.mark.parametrize(("setup", "cell"), SAME_AGAIN.values(), ids=SAME_AGAIN)
def test_a_kernel_that_was_restarted_and_did_the_same_is_recognised(setup, cell):
    """Another process, with other addresses, another hash seed and other numbers of its cells."""
    prints = [
        subprocess.run(
            [sys.executable, "-c", FINGERPRINT, str(number), setup, cell],
            env={**os.environ, "PYTHONHASHSEED": str(number)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number in (1, 22)
    ]
    assert prints[0] == prints[1] != ""


def test_an_error_in_a_function_of_the_session_shows_its_lines(session, root):
    namespace = session("def f(x):\n    return 1 / x")
    job = submit("fails", Source("cell", "x = 0\nf(x)", "x = 0\nf(x)"), namespace, root=root).job
    with pytest.raises(JobFailed, match="ZeroDivisionError: division by zero") as failure:
        job.fetch(timeout=60)
    assert isinstance(failure.value.__cause__, ZeroDivisionError)
    assert "    f(x)\n" in failure.value.traceback
    assert "persist_magic" not in failure.value.traceback


def test_an_error_whose_class_wants_other_arguments_is_the_cause_with_its_own_causes(session, root):
    setup = """
    class Broken(Exception):
        def __init__(self, code, *, where):
            super().__init__(f"{code} at {where}")
            self.code = code
    """
    namespace = session(setup)
    cell = "try: 1 / 0\nexcept ZeroDivisionError as zero: raise Broken(3, where='home') from zero"
    job = submit("breaks", Source("cell", cell, cell), namespace, root=root).job
    with pytest.raises(JobFailed, match="Broken: 3 at home") as failure:
        job.fetch(timeout=60)
    cause = failure.value.__cause__
    assert type(cause) is namespace["Broken"]
    assert (cause.code, cause.args) == (3, ("3 at home",))
    assert type(cause.__cause__) is ZeroDivisionError
