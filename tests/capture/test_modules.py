"""Modules of the user's own: the job finds those that the session means, and tells which they are and whether they were edited."""

import importlib
import json
import os
import re
import subprocess
import sys

import pytest

from persist_magic import load, persist
from persist_magic.errors import JobExists, JobFailed
from persist_magic.status import JobState

from ..conftest import wait_until
from .conftest import QUEUED

FILES = {
    "helpers.py": "LIMIT = 3\nDATA = [1]\ndef shout(text): return text.upper() + '!'\nclass Box:\n    size = 5\n",
    "outer.py": "import inner\nfrom deeper import whisper\ndef both(): return inner.VALUE, whisper()\n",
    "inner.py": "VALUE = 'inner'\n",
    "deeper.py": "def whisper(): return 'psst'\n",
    "pack/__init__.py": "NAME = 'pack'\n",
    "pack/sub.py": "from . import other\nVALUE = 6\n",
    "pack/other.py": "VALUE = 7\n",
    "pack/deep/__init__.py": "",
    "pack/deep/leaf.py": "from ..other import VALUE\ndef leaf(): return VALUE\n",
    "space/part.py": "VALUE = 8\n",
    "space/room/desk.py": "VALUE = 9\n",
}


def write(place, files):
    """Write files below a folder; what Python knows of its content is forgotten."""
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    importlib.invalidate_caches()


def own_modules(job):
    return [each["name"] for each in job.info()["modules"]]


def rerun_elsewhere(job, **environment):
    """Run a job again from another process, which has the given environment; return the result's repr."""
    code = "import sys; from persist_magic import load; print(repr(load(*sys.argv[1:]).rerun().fetch(60)))"
    command = [sys.executable, "-c", code, job.name, str(job.path.parent)]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=True).stdout.strip()


# ---------------------------------------------------------------- found, and told


IMPORTED = {
    "a module": ("import helpers", "helpers.shout('hey')", "HEY!", ["helpers"]),
    "a module under another name": ("import helpers as h", "h.LIMIT", 3, ["helpers"]),
    "a function of it": ("from helpers import shout", "shout('hey')", "HEY!", ["helpers"]),
    "a class of it": ("from helpers import Box", "Box().size", 5, ["helpers"]),
    "an instance of its class": ("from helpers import Box\nbox = Box()\ndel Box", "box.size", 5, ["helpers"]),
    "a function that a function of the session uses": (
        "from helpers import shout\ndef cry(): return shout('oh')",
        "cry()",
        "OH!",
        ["helpers"],
    ),
    "modules that a module imports": ("import outer", "outer.both()", ("inner", "psst"), ["deeper", "inner", "outer"]),
    "a package": ("import pack", "pack.NAME", "pack", ["pack"]),
    "a submodule": ("import pack.sub", "pack.sub.other.VALUE", 7, ["pack", "pack.other", "pack.sub"]),
    "a submodule by from": ("from pack import sub", "sub.VALUE", 6, ["pack", "pack.other", "pack.sub"]),
    "a submodule with parents": (
        "from pack.deep.leaf import leaf",
        "leaf()",
        7,
        ["pack", "pack.deep", "pack.deep.leaf", "pack.other"],
    ),
    "a namespace package": ("import space.part", "space.part.VALUE", 8, ["space", "space.part"]),
    "a namespace package within one": (
        "from space.room import desk",
        "desk.VALUE",
        9,
        ["space", "space.room", "space.room.desk"],
    ),
    "one that is imported once more by the cell": ("import helpers", "import helpers\nhelpers.LIMIT", 3, ["helpers"]),
    "nothing of Python's": (
        "import json, xml.dom.minidom as dom",
        "import decimal\njson.dumps(1) + dom.__name__[:3]",
        "1xml",
        [],
    ),
    "nothing installed": ("import numpy\nfrom hypothesis import given", "import pytest\nnumpy.ones(3).sum()", 3.0, []),
}


@pytest.mark.parametrize(("setup", "cell", "result", "modules"), IMPORTED.values(), ids=IMPORTED)
def test_a_module_is_found_from_a_directory_that_the_session_has_left(
    session, home, tmp_path, monkeypatch, setup, cell, result, modules
):
    write(home, FILES)
    session(setup)
    monkeypatch.chdir(tmp_path)
    job = session.persist("left", cell)
    assert job.fetch(60) == result
    assert own_modules(job) == modules


IMPORTED_BY_THE_CELL = {
    "by a function of the session": ("late()", 3, ["helpers"]),
    "a module": ("import helpers\nhelpers.LIMIT", 3, ["helpers"]),
    "a function": ("from helpers import shout\nshout('x')", "X!", ["helpers"]),
    "a module with its own": ("import outer\nouter.both()", ("inner", "psst"), ["deeper", "inner", "outer"]),
    "in a function": ("def f():\n    import helpers\n    return helpers.LIMIT\nf()", 3, ["helpers"]),
    "a package": ("import pack\npack.NAME", "pack", ["pack"]),
}


@pytest.mark.parametrize(("cell", "result", "modules"), IMPORTED_BY_THE_CELL.values(), ids=IMPORTED_BY_THE_CELL)
def test_what_only_the_cell_imports_is_found_where_the_session_stood(
    session, home, tmp_path, monkeypatch, cell, result, modules
):
    write(home, FILES)
    session("def late():\n    import helpers\n    return helpers.LIMIT")
    job = session.persist("cell", cell)
    monkeypatch.chdir(tmp_path)
    assert job.fetch(60) == result
    assert own_modules(job) == modules
    assert not {"helpers", "outer", "pack"} & sys.modules.keys(), "the session itself imported nothing"


def test_modules_of_a_persisted_function_are_told_too(session, home, root):
    write(home, FILES)
    namespace = session("from helpers import shout\ndef cry(text): return shout(text)")
    assert own_modules(persist(namespace["cry"], "own", args=("a",), root=root)) == ["helpers"]
    job = persist(namespace["shout"], "theirs", args=("b",), root=root)
    assert own_modules(job) == ["helpers"]
    assert job.fetch(60) == "B!"


def test_what_is_known_of_a_module(session, home):
    write(home, FILES)
    session("import helpers, space.part")
    job = session.persist("facts", "helpers.LIMIT + space.part.VALUE")
    facts = {each["name"]: each for each in job.info()["modules"]}
    assert {name: each["path"] for name, each in facts.items()} == {
        "helpers": str(home / "helpers.py"),
        "space": "",
        "space.part": str(home / "space" / "part.py"),
    }
    assert facts["helpers"]["digest"] != facts["space.part"]["digest"] != ""
    assert [each["edited"] for each in facts.values()] == [False] * 3
    json.dumps(job.info())
    assert job.fetch(60) == 11


def test_a_dry_run_lists_them(shell, home):
    write(home, FILES)
    shell.run("import helpers, json, space.part")
    shell.run("%%persist dry --dry-run\njson.dumps(helpers.LIMIT + space.part.VALUE)")
    assert (
        f"imports helpers ({home / 'helpers.py'}), space (a folder), space.part ({home / 'space' / 'part.py'})\n"
        in shell.said()
    )


# ---------------------------------------------------------------- edited after the submission


@pytest.mark.parametrize("snapshot", [False, True])
def test_only_a_snapshot_keeps_a_waiting_job_from_an_edit(session, home, gate, snapshot):
    write(home, FILES)
    session("import helpers, pack.sub")
    job = session.persist("edit", "helpers.shout('hey'), pack.sub.VALUE", options=QUEUED, snapshot=snapshot)
    wait_until(lambda: "waiting" in job.status().reason, "the queue")
    write(home, {"helpers.py": "def shout(text): return 'edited ' + text\n", "pack/sub.py": "VALUE = 'edited'\n"})
    gate()
    assert job.fetch(60) == (("HEY!", 6) if snapshot else ("edited hey", "edited"))
    assert job.info()["snapshot"] is snapshot


@pytest.mark.parametrize("snapshot", [False, True])
def test_only_a_snapshot_keeps_a_rerun_from_an_edit(session, home, snapshot):
    write(home, FILES)
    session("import space.part")
    job = session.persist("again", "import outer\nouter.both(), space.part.VALUE", snapshot=snapshot)
    assert job.fetch(60) == (("inner", "psst"), 8)
    write(home, {"inner.py": "VALUE = 'edited inner'\n", "space/part.py": "VALUE = 'edited'\n"})
    assert job.rerun().fetch(60) == ((("inner", "psst"), 8) if snapshot else (("edited inner", "psst"), "edited"))


def test_a_snapshot_outlives_its_origin(session, home):
    write(home, FILES)
    session("from helpers import shout\nimport pack.deep.leaf")
    kept = session.persist("kept", "shout('a'), pack.deep.leaf.leaf(), pack.deep.leaf.__file__", snapshot=True)
    bare = session.persist("bare", "shout('a')")
    assert kept.fetch(60) == ("A!", 7, str(kept.path / "modules" / "pack" / "deep" / "leaf.py"))
    assert bare.fetch(60) == "A!"
    assert not (bare.path / "modules").exists()
    for name in FILES:
        (home / name).unlink()
    assert kept.rerun().fetch(60)[:2] == ("A!", 7)
    with pytest.raises(JobFailed, match="No module named 'helpers'"):
        bare.rerun().fetch(60)


def test_the_magic_takes_a_snapshot(shell, home, tmp_path):
    write(home, FILES)
    marker = tmp_path / "open"
    shell.run(f"import helpers\nimport os, time\nmarker = {str(marker)!r}")
    gate = shell.run("%%persist first -- --slots 1\nwhile not os.path.exists(marker): time.sleep(0.01)")
    wait_until(lambda: gate.status().state is JobState.RUNNING, "the gate")
    kept = shell.run("%%persist kept --snapshot -- --slots 1\nhelpers.shout('hey')")
    bare = shell.run("%%persist bare -- --slots 1\nhelpers.shout('hey')")
    write(home, {"helpers.py": "def shout(text): return 'edited ' + text\n"})
    marker.touch()
    assert (kept.fetch(60), bare.fetch(60)) == ("HEY!", "edited hey")


def test_a_snapshot_has_code_and_small_data_and_tells_what_it_leaves_out(shell, home):
    write(home, FILES)
    small, large = "s" * (1 << 20), "l" * ((1 << 20) + 1)
    write(
        home,
        {
            "pack/table.csv": "1,2\n",
            "pack/just.txt": small,
            "pack/deep/too_large.bin": large,
            "pack/large_code.py": f"TEXT = '{large}'\n",
            "pack/.hidden": "secret",
            "pack/.git/config": "secret",
            "pack/__pycache__/old.pyc": "cache",
            "beside.txt": "no package's",
        },
    )
    shell.run("import pack.sub, helpers")
    shell.said()
    job = shell.run(
        "%%persist full --snapshot\nimport os\nopen(os.path.dirname(pack.__file__) + '/table.csv').read(), helpers.LIMIT"
    )
    notes = re.findall(r"^  note: (.*)$", shell.said(), re.MULTILINE)
    assert notes == [f"left out of the snapshot, as large or unreadable: {home / 'pack' / 'deep' / 'too_large.bin'}"]
    assert job.info()["warnings"] == notes
    copied = {str(path.relative_to(job.path / "modules")) for path in (job.path / "modules").rglob("*") if path.is_file()}
    assert {name for name in copied if "__pycache__" not in name} == {
        "helpers.py",
        *(name for name in FILES if name.startswith("pack/")),
        "pack/table.csv",
        "pack/just.txt",
        "pack/large_code.py",
    }
    assert not any("old.pyc" in name for name in copied)
    assert job.fetch(60) == ("1,2\n", 3)


# ---------------------------------------------------------------- edited before the submission


ORIGINAL = """
LIMIT = 3
NAMES = ("a", "b")
def scale(x):
    return x * 2
class Box:
    def size(self): return 1
    @property
    def half(self): return 0.5
    @staticmethod
    def plain(): return 0
"""

EDITS = {
    "a function's body": ("x * 2", "x * 20", True),
    "a method's body": ("return 1", "return 11", True),
    "a property's body": ("return 0.5", "return 0.25", True),
    "a static method's body": ("return 0\n", "return 10\n", True),
    "a constant": ("LIMIT = 3", "LIMIT = 4", True),
    "a constant of several parts": ('"b")', '"c")', True),
    "a new constant": ("LIMIT = 3", "LIMIT = 3\nMORE = 1", True),
    "a function that is gone": ("def scale(x):", "def rescale(x):", True),
    "a statement": ("LIMIT = 3", "LIMIT = 3\nprint()", True),
    "a statement behind all else": ("return 0\n", "return 0\nprint(end='')\n", True),
    "no Python any more": ("LIMIT = 3", "LIMIT = = 3", True),
    "nothing": ("", "", False),
}


@pytest.mark.parametrize(("old", "new", "edited"), EDITS.values(), ids=EDITS)
def test_a_module_edited_since_its_import_is_told(session, home, old, new, edited):
    write(home, {"tools.py": ORIGINAL})
    session("import tools")
    if edited:
        write(home, {"tools.py": ORIGINAL.replace(old, new, 1)})
    submission = session.submit("told", "tools")
    words = "edited since imported here: tools; the job imports the files as they are now"
    assert submission.capture.warnings == ((words,) if edited else ())
    assert [each["edited"] for each in submission.job.info()["modules"]] == [edited]


def test_an_edit_is_told_without_the_cache_of_bytecode_too(session, home, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write(home, {"first.py": ORIGINAL, "second.py": ORIGINAL, "third.py": ORIGINAL})
    session("import first, second, third")
    assert not (home / "__pycache__").exists()
    write(home, {"first.py": ORIGINAL.replace("x * 2", "x + 2"), "second.py": ORIGINAL.replace("LIMIT = 3", "LIMIT = 4")})
    (note,) = session.submit("told", "first, second, third").capture.warnings
    assert note == "edited since imported here: first, second; the job imports the files as they are now"


def test_the_magic_prints_the_note(shell, home):
    write(home, {"tools.py": ORIGINAL})
    shell.run("import tools")
    shell.said()
    shell.run("%%persist before\ntools.scale(1)")
    assert "note" not in shell.said()
    write(home, {"tools.py": ORIGINAL.replace("x * 2", "x * 300")})
    job = shell.run("%%persist after\ntools.scale(1)")
    assert "  note: edited since imported here: tools; the job imports the files as they are now\n" in shell.said()
    assert job.fetch(60) == 300


def test_the_same_cell_after_an_edit_is_not_the_same_job(session, home):
    write(home, FILES)
    session("import helpers, pack.sub")
    cell = "helpers.LIMIT, pack.sub.VALUE"
    first = session.persist("same", cell)
    assert session.submit("same", cell).attached
    write(home, {"pack/sub.py": "from . import other\nVALUE = 66\n"})
    with pytest.raises(JobExists, match=r"job same exists and is not the same: module pack\.sub was edited; ") as refusal:
        session.persist("same", cell)
    assert refusal.value.differences == ("module pack.sub was edited",)
    first.wait(60)
    assert session.persist("same", cell, replace=True).fetch(60) == (3, 66)


# ---------------------------------------------------------------- the environment


SECRET = "xyzzy-of-nobody-else"


def test_a_chosen_variable_travels_to_a_rerun_elsewhere_and_no_other_is_written_down(session, root, monkeypatch):
    monkeypatch.setenv("CHOSEN_OF_TESTS", "a 'value'")
    monkeypatch.setenv("OTHER_OF_TESTS", SECRET)
    namespace = session("import os\ndef look(): return [os.environ.get(n) for n in ('CHOSEN_OF_TESTS', 'OTHER_OF_TESTS')]")
    chosen = persist(namespace["look"], "chosen", environment=["CHOSEN_OF_TESTS", "NOT_SET_OF_TESTS"], root=root)
    plain = persist(namespace["look"], "plain", root=root)
    assert chosen.fetch(60) == plain.fetch(60) == ["a 'value'", SECRET], "the first run has the session's environment"
    bare = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    assert rerun_elsewhere(chosen, **bare) == repr(["a 'value'", None])
    assert rerun_elsewhere(plain, **bare) == "[None, None]"
    monkeypatch.delenv("PYTHONPATH", raising=False)
    again = persist(namespace["look"], "again", environment=["CHOSEN_OF_TESTS"], root=root)
    assert json.loads((again.path / "job.json").read_text())["environment"] == {"CHOSEN_OF_TESTS": "a 'value'"}
    for job in (chosen, plain, again):
        for path in ("job.json", "job.sh", "cell.py", "handle.json", "run-1/submitted.json"):
            assert SECRET not in (job.path / path).read_text(), path


def test_the_environment_is_a_setting(shell, monkeypatch):
    monkeypatch.setenv("CHOSEN_OF_TESTS", "value")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    cell = "import os\nos.environ.get('CHOSEN_OF_TESTS')"
    shell.run("%config PersistMagics.environment = ['CHOSEN_OF_TESTS']")
    job = shell.run(f"%%persist with\n{cell}")
    shell.run("%config PersistMagics.environment = []")
    without = shell.run(f"%%persist without\n{cell}")
    assert job.fetch(60) == without.fetch(60) == "value"
    bare = {"PATH": os.environ["PATH"]}
    assert (rerun_elsewhere(job, **bare), rerun_elsewhere(without, **bare)) == ("'value'", "None")
    assert load(job.name).spec().environment == {"CHOSEN_OF_TESTS": "value"}
    assert load(without.name).spec().environment == {}
