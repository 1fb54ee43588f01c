"""Arrays in the job: what shares memory here shares it there, each buffer is written once, and none is copied on its way.

The stories are real sessions with a real ``%%persist``, see `sessions`.
"""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from .sessions import play

# ---------------------------------------------------------------- geometry


PREPARE = """
def look(*arrays):
    first = arrays[0].__array_interface__["data"][0]
    return [
        (a.tobytes(), a.dtype.descr, a.shape, a.strides if a.size else (), a.flags.writeable, a.__array_interface__["data"][0] - first)
        for a in arrays
    ]
was = look(base, view)
names = dict(base=base, view=view)
"""

COMPARE = """
import numpy as np
assert look(base, view) == was, (look(base, view), was)
assert np.shares_memory(base, view)
assert names["base"] is base and names["view"] is view
base, view
"""

VIEWS = {
    "a slice": "base = np.arange(20.0)\nview = base[3:7]",
    "a slice of a large array": "base = np.arange(200_000.0)\nview = base[7:-7]",
    "a few of a large array": "base = np.arange(200_000.0)\nview = base[100_000:100_002]",
    "a transpose": "base = np.arange(12).reshape(3, 4)\nview = base.T",
    "a transpose of a large array": "base = np.arange(120_000).reshape(300, 400)\nview = base.T",
    "another shape": "base = np.arange(24)\nview = base.reshape(2, 3, 4)",
    "axes in another order": "base = np.arange(24).reshape(2, 3, 4)\nview = base.transpose(1, 2, 0)",
    "negative strides": "base = np.arange(20)\nview = base[::-1]",
    "negative strides of a large array": "base = np.arange(200_000).reshape(200, 1000)\nview = base[::-2, ::-3]",
    "a column": "base = np.arange(200_000).reshape(1000, 200)\nview = base[:, 3]",
    "one element": "base = np.arange(20)\nview = base[4:5].reshape(())",
    "a diagonal": "base = np.arange(25).reshape(5, 5).copy()\nview = base.diagonal()",
    "a field of a structure": "base = np.ones(9, dtype=[('a', 'i1'), ('b', 'f8')])\nview = base['b']",
    "several fields": "base = np.ones(9, dtype=[('a', 'i1'), ('b', 'f8'), ('c', 'i4')])\nview = base[['a', 'c']]",
    "a field of many structures": "base = np.ones(9_000, dtype=[('a', 'i1'), ('b', 'f8')])\nview = base[1:]['b']",
    "Fortran order": "base = np.asfortranarray(np.arange(12.0).reshape(3, 4))\nview = base[1:, ::2]",
    "a large array in Fortran order": "base = np.asfortranarray(np.arange(90_000.0).reshape(300, 300))\nview = base[::2, 1:]",
    "a view of a view": "base = np.arange(100)\nview = base[10:90].reshape(8, 10)[::2].T",
    "an array that is itself a view of all": "base = np.arange(100).reshape(10, 10)\nview = base[5]",
    "two views of an array that has no name": "x = np.arange(100)\nbase, view = x[:80], x[10:90]\ndel x",
    "overlapping": "x = np.arange(100_000)\nbase, view = x[:80_000], x[10_000:]\ndel x",
    "other bytes": "base = np.arange(100_000.0)\nview = base.view('u1')[3:11]",
    "broadcast": "base = np.arange(10.0)\nview = np.broadcast_to(base, (4, 10))",
    "a read-only view": "base = np.arange(10)\nview = base[2:]\nview.flags.writeable = False",
    "a read-only array": "base = np.arange(10)\nbase.flags.writeable = False\nview = base[2:]",
    "a large read-only array": "base = np.arange(100_000)\nbase.flags.writeable = False\nview = base[2:]",
    "truth": "base = np.arange(20) % 3 == 0\nview = base[3:]",
    "much truth": "base = np.arange(200_000) % 3 == 0\nview = base[3:]",
    "dates": "base = np.arange('2020-01-01', '2020-02-01', dtype='M8[D]')\nview = base[3:]",
    "many durations": "base = np.arange(100_000).astype('m8[s]')\nview = base[3:]",
    "complex": "base = np.arange(20) * 1j\nview = base.imag",
    "bytes and text": "base = np.array(['a', 'bc', 'd'])\nview = base[1:]",
    "the other byte order": "base = np.arange(20, dtype='>i4')\nview = base[1:]",
    "the view before its base": "base = np.arange(20)\nview, a_view = base[1:], base[2:5]",
}

# ---------------------------------------------------------------- what happens


SHARED = {
    "a change of either shows in the other": (
        "import numpy as np\nx = np.zeros(10)\nv = x[2:5]",
        "v[:] = 1\nx[4] = 7\nassert x.sum() == 9 and v.tolist() == [1, 1, 7]",
    ),
    "through the name that comes first": (
        "import numpy as np\nz = np.zeros(100_000)\na = z[::2]",
        "a[1] = 5\nassert z[2] == 5",
    ),
    "the base only in a list": (
        "import numpy as np\nshelf = [np.zeros(100_000)]\nv = shelf[0][2:]",
        "v[0] = 5\nassert shelf[0][2] == 5",
    ),
    "views only in a list": (
        "import numpy as np\nx = np.zeros(10)\nshelf = {'views': [x[2:5], x[::-1]]}",
        "x[2] = 5\nassert shelf['views'][0][0] == 5 == shelf['views'][1][-3]",
    ),
    "attributes": (
        "import numpy as np\nclass Grid:\n    pass\ngrid = Grid()\ngrid.cells = np.zeros((300, 300))\ngrid.row = grid.cells[5]",
        "grid.row[:] = 1\nassert grid.cells.sum() == 300",
    ),
    "what a function sees": (
        "import numpy as np\nx = np.zeros(10)\nv = x[5:]\ndef total(): return x.sum()",
        "v[:] = 1\nassert total() == 5",
    ),
}

VARIABLES = {
    "a small array and its view": (
        "import numpy as np\nx = np.zeros(10)\nv, other = x[2:5], np.zeros(10)",
        "v[:] = 1\nlen(x), len(other)\nNone",
        ["v", "x"],
    ),
    "a large array": ("import numpy as np\nx, y = np.zeros(100_000), np.zeros(100_000)", "x[3] = 1\ny.sum()", ["x"]),
    "an array in a list": (
        "import numpy as np\nshelf, other = [np.zeros(100_000)], [np.zeros(100_000)]",
        "shelf[0][3] = 1\nlen(other)",
        ["shelf"],
    ),
    "an array in an instance": (
        "import numpy as np\nclass Grid:\n    pass\ngrid, still = Grid(), Grid()\ngrid.cells = still.cells = np.zeros((300, 300))\nstill.cells = grid.cells + 1",
        "grid.cells[0, 0] = 1\nstill.cells[0, 0]",
        ["grid"],
    ),
    "a list within a list": ("deep, other = [[1], [2]], [[1], [2]]", "deep[1].append(3)\nlen(other)", ["deep"]),
    "nothing of much that was read": (
        "import numpy as np\nx = np.arange(100_000.0)\nv, w = x[::2], x[::-1]\nshelf = [x, v]\n"
        "small = np.arange(10)\nfew = small[2:]\nfew.flags.writeable = False\n"
        "fortran = np.asfortranarray(np.ones((300, 300)))\ntable = {'a': [1, {2}], 'x': x}",
        "(x.sum(), v.sum(), w.sum(), small.sum(), few.sum(), fortran.sum(), len(shelf), len(table['a']))",
        [],
    ),
    "what was changed and changed back": ("import numpy as np\nx = np.zeros(100_000)", "x += 1\nx -= 1\nNone", []),
    "what was only bound anew": ("import numpy as np\nx = np.zeros(10)\nv = x[2:]", "x = v\nNone", ["x"]),
}

NOTES = {
    "small views of a large array that has no name": (
        "import numpy as np\nx = np.arange(100.0)\nfirst, second = x[3:6], x[4:7]\ndel x",
        "first[:] = 0\nassert second.tolist() == [4, 5, 6]",
        "first, second: arrays in it are views of the same data; in the job each has a copy of its own",
    ),
    "a small view and its base in a list": (
        "import numpy as np\nshelf = [np.arange(100.0)]\nfew = shelf[0][3:6]",
        "few[:] = 0\nassert shelf[0].sum() == 4950",
        "few, shelf: arrays in it are views of the same data; in the job each has a copy of its own",
    ),
    "objects": (
        "import numpy as np\nbase = np.array([[1], 'two', None], dtype=object)\nview = base[1:]",
        "view[0] = 5\nassert base.tolist() == [[1], 'two', None]",
        "view, base: arrays in it are views of the same data; in the job each has a copy of its own",
    ),
    "views that do not overlap": (
        "import numpy as np\nx = np.arange(100.0)\nfirst, second = x[3:6], x[50:53]\ndel x",
        "assert (first.sum(), second.sum()) == (12, 153)",
        "",
    ),
    "the same view twice": (
        "import numpy as np\nx = np.arange(100.0)\nfirst = x[3:6]\nsecond = [first]\ndel x",
        "assert second[0] is first",
        "",
    ),
    "a view alone": ("import numpy as np\nv = np.arange(100.0)[3:6]", "assert v.sum() == 12", ""),
}

MAPPED = """
import numpy as np
path = "{scratch}/NAME"
np.arange(1000.0).tofile(path)
"""

MEMORY_MAPS = {
    "it reads and writes the file": (
        MAPPED + "m = np.memmap(path, 'f8', 'r+', shape=(10, 100))",
        "assert type(m) is np.memmap and m[3, 1] == 301\nm[3, 1] = -1\nm.flush()\nNone",
        "import numpy as np\nassert np.fromfile(path)[301] == -1 == m[3, 1]",
    ),
    "what was written after the submission is read": (
        MAPPED + "m = np.memmap(path, 'f8', 'r')",
        "np.memmap(path, 'f8', 'r+')[0] = 77\nassert m[0] == 77 and not m.flags.writeable and m.mode == 'r'",
        "assert m[0] == 77",
    ),
    "a file of its own making": (
        MAPPED + "m = np.memmap(path + '.new', 'i2', 'w+', shape=(7, 5), order='F')\nm[:] = 4",
        "assert m.flags.f_contiguous and m.sum() == 140\nm[6, 4] = 0",
        "assert m.sum() == 136",
    ),
    "a part of it, with its offset": (
        MAPPED + "m = np.memmap(path, 'f8', 'r+', offset=800)\npart = m[10:20:2]",
        "assert m[0] == 100 and part.tolist() == [110, 112, 114, 116, 118]\npart[:] = 0\nassert m[110 - 100] == 0",
        "import numpy as np\nassert np.fromfile(path)[110] == 0 and part.sum() == 0",
    ),
    "copy on write is data": (
        MAPPED + "m = np.memmap(path, 'f8', 'c')\nm[0] = 5",
        "m[1] = 6\nassert m[:3].tolist() == [5, 6, 2]",
        "import numpy as np\nassert np.fromfile(path)[:3].tolist() == [0, 1, 2] and m[1] == 1",
    ),
}

MEMORY = """
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
"""

FREED = {
    "an array": (
        "import numpy as np\nbig = np.ones(8_000_000)",
        "np.sum(big)\nfull = resident()\ndel big\nfull - resident()",
    ),
    "an array and its view": (
        "import numpy as np\nbig = np.ones(8_000_000)\nview = big[1:]",
        "np.sum(big)\nfull = resident()\ndel big, view\nfull - resident()",
    ),
    "bytes": ("big = b'x' * 64_000_000", "full = resident()\ndel big\nfull - resident()"),
    "an array bound to another name": (
        "import numpy as np\nbig = np.ones(8_000_000)",
        "other = [big]\nnp.sum(big)\nfull = resident()\nbig = other = None\nfull - resident()",
    ),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("views")
    stories = {f"view {name}": (f"import numpy as np\n{setup}\n{PREPARE}", COMPARE) for name, setup in VIEWS.items()}
    stories |= {f"shared {name}": story for name, story in SHARED.items()}
    stories |= {f"change {name}": story[:2] for name, story in VARIABLES.items()}
    stories |= {f"note {name}": story[:2] for name, story in NOTES.items()}
    stories |= {
        f"map {name}": tuple(part.replace("NAME", name.replace(" ", "-")) for part in story)
        for name, story in MEMORY_MAPS.items()
    }
    stories |= {f"freed {name}": (MEMORY + setup, cell) for name, (setup, cell) in FREED.items()}
    return play(stories, scratch)


def check(answer):
    if answer.failure:
        pytest.fail(answer.failure, pytrace=False)


@pytest.mark.parametrize("name", VIEWS)
def test_arrays_that_share_memory_share_it_in_the_job_too(answers, name):
    check(answers[f"view {name}"])
    assert answers[f"view {name}"].warnings == []


@pytest.mark.parametrize("name", SHARED)
def test_a_change_shows_in_all_views(answers, name):
    check(answers[f"shared {name}"])


@pytest.mark.parametrize("name", VARIABLES)
def test_what_changed_is_a_variable_and_nothing_else(answers, name):
    check(answers[f"change {name}"])
    assert sorted(answers[f"change {name}"].variables) == VARIABLES[name][2]


@pytest.mark.parametrize("name", NOTES)
def test_arrays_that_cannot_stay_views_are_named(answers, name):
    check(answers[f"note {name}"])
    note = NOTES[name][2]
    assert answers[f"note {name}"].warnings == ([note] if note else [])
    assert (f"  note: {note}\n" in answers[f"note {name}"].printed) is bool(note)


@pytest.mark.parametrize("name", MEMORY_MAPS)
def test_a_file_that_numpy_maps_is_mapped_again(answers, name):
    answer = answers[f"map {name}"]
    check(answer)
    mapped = [words for words in answer.warnings if words.endswith(": the job maps the file as it is then")]
    assert len(mapped) == len(answer.warnings) == ("copy on write" not in name)


@pytest.mark.parametrize("name", FREED)
def test_what_the_cell_deletes_is_gone_from_memory(answers, name):
    check(answers[f"freed {name}"])
    assert int(answers[f"freed {name}"].result) > 60_000_000


# ---------------------------------------------------------------- the files


SIZES = {
    "an array and its views": (
        "x = np.ones(100_000)\nv, w, t = x[1:], x[::-3], x.reshape(100, -1).T",
        "x, v, w, t",
        800_000,
    ),
    "one array under several names": ("x = np.ones(100_000)\ny = x\nshelf = [x, {'x': x}]", "x, y, shelf", 800_000),
    "a small view of a large array": ("v = np.ones(100_000)[:9_000]", "v", 72_000),
    "half of an array": ("v = np.ones(100_000)[::2]", "v", 800_000),
    "two views of an array without a name": ("x = np.ones(100_000)\nv, w = x[1:], x[:-1]\ndel x", "v, w", 800_000),
    "equal arrays are two": ("x, y = np.ones(100_000), np.ones(100_000)", "x, y", 1_600_000),
    "small arrays have no file": ("x = np.ones(100)", "x", None),
    "one array in a frame and by itself": (
        "import pandas as pd\nx = np.ones((100_000, 1))\nframe = pd.DataFrame(x, copy=False)",
        "x, frame",
        800_000,
    ),
}


@pytest.mark.parametrize(("setup", "cell", "expected"), SIZES.values(), ids=SIZES)
def test_each_buffer_is_written_once(session, setup, cell, expected):
    session(f"import numpy as np\n{setup}")
    submission = session.submit("size", cell)
    file = submission.job.path / "session.buffers"
    if expected is None:
        assert not file.exists()
    else:
        assert expected <= file.stat().st_size < expected + 8192, "pages are 4096 bytes"
        assert expected <= submission.capture.size < expected + 16384


def test_mapped_arrays_are_writable_and_their_file_does_not_change(session):
    namespace = session("import numpy as np\nbig = np.arange(100_000.0)\npart = big[5:10]")
    job = session.persist("write", "big += 1\npart[:] = 0\nbig.sum()")

    def digest():
        return hashlib.sha256((job.path / "session.buffers").read_bytes()).hexdigest()

    before = digest()
    expected = namespace["big"].sum() + 100_000 - sum(range(6, 11))
    assert job.fetch(60) == expected
    assert digest() == before
    assert job.rerun().fetch(60) == expected
    assert np.array_equal(namespace["big"], np.arange(100_000.0))
    changed = job.variables["big"]
    changed[:] = 0
    assert job.variables["big"].sum() == expected, "a fetched array is the session's own"


PEAK = """
import contextlib, re, sys, types
import numpy as np
from persist_magic.capture.cell import Selection, Source, capture
from persist_magic.capture.payload import BufferFile, PayloadWriter

path, what, expression = sys.argv[1:]
main = sys.modules["__main__"] = types.ModuleType("__main__")

def write(name):
    if what == "capture":
        capture("peak", Source("cell", "x", "x"), vars(main), Selection(), name + ".pkl", name + ".buffers")
        return
    with open(name + ".pkl", "wb") as file, contextlib.closing(BufferFile(name + ".buffers")) as buffers:
        writer = PayloadWriter(file, buffers, vars(main))
        writer.dump(main.x)
        writer.close()

def status(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

main.x = np.zeros(3)
write(path + "-first")  # imports what it needs
main.x = eval(expression)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
write(path)
print(status("VmHWM") - before)
"""

LARGE = {
    "captured, contiguous": ("capture", "np.zeros(25_000_000)"),
    "captured, in Fortran order": ("capture", "np.zeros((5_000, 5_000)).T"),
    "a value, contiguous": ("value", "np.zeros(25_000_000)"),
    "a value, strided": ("value", "np.zeros(75_000_000)[::3]"),
    "a value, rows of a larger one": ("value", "np.zeros((15_000, 5_000))[::3, :]"),
    "a value, rows longer than a piece": ("value", "np.zeros((5, 15_000_000))[:, ::3]"),
}


@pytest.mark.parametrize(("what", "expression"), LARGE.values(), ids=LARGE)
def test_a_large_array_is_written_without_a_copy_of_it_in_memory(tmp_path, what, expression):
    """The arrays are zeros that nobody wrote to, which take no memory themselves."""
    command = [sys.executable, "-c", PEAK, str(tmp_path / "large"), what, expression]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert os.path.getsize(tmp_path / "large.buffers") == 200_000_000
    assert grown < 80_000_000
    os.unlink(tmp_path / "large.buffers")
