"""What a job brings back is the session's own: its classes, its functions, its arrays; what cannot come back says why."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from persist_magic import load
from persist_magic.errors import Damaged, JobFailed, NoSuchVariable, NotPickled, NotRestored

# ---------------------------------------------------------------- classes


def test_an_instance_that_comes_back_is_of_the_session_s_own_class(session, run):
    namespace = session(
        """
        class Point:
            def __init__(self, x): self.x = x
        origin = Point(0)
        """
    )
    job = run("moved = Point(origin.x + 1)\n[moved, Point]")
    moved, cls = job.fetch()
    assert type(moved) is cls is namespace["Point"]
    assert type(job.variables["moved"]) is namespace["Point"]
    assert moved.x == 1


def test_a_class_that_the_session_changed_meanwhile_stays_as_the_session_has_it(session, run):
    namespace = session("class Model:\n    version = 1\n    def name(self): return 'old'")
    job = run("Model.version = 5\nm = Model()\nm.x = 2\nm")
    namespace["Model"].name = lambda self: "new"
    model = job.fetch()
    assert type(model) is namespace["Model"]
    assert (model.x, model.name(), namespace["Model"].version) == (2, "new", 1)


def test_a_class_that_the_session_defined_anew_is_another_one(session, run):
    namespace = session("class A:\n    tag = 'first'")
    first = namespace["A"]
    job = run("A()")
    second = session("class A:\n    tag = 'second'")["A"]
    came_back = job.fetch()
    assert type(came_back) is first is not second
    assert namespace["A"] is second


def test_enum_members_come_back_as_the_session_s_own(session, run):
    namespace = session(
        """
        import enum
        class Color(enum.Enum):
            RED = 1
            BLUE = 2
        class Mode(enum.Flag):
            R = 1
            W = 2
        """
    )
    red, both = run("Color.RED, Mode.R | Mode.W").fetch()
    assert red is namespace["Color"].RED
    assert both is namespace["Mode"].R | namespace["Mode"].W


def test_subclass_dataclass_named_tuple_and_generic_come_back_as_the_session_s_own(session, run):
    namespace = session(
        """
        from dataclasses import dataclass
        from typing import Generic, NamedTuple, TypeVar
        T = TypeVar("T")
        class Base: pass
        class Child(Base):
            __slots__ = ("v",)
        @dataclass(frozen=True)
        class D:
            x: int
        class P(NamedTuple):
            x: int
        class Stack(Generic[T]):
            items = ()
        """
    )
    child, d, p, stack = run("c = Child()\nc.v = 3\n[c, D(1), P(2), Stack[int]()]").fetch()
    assert [type(each) for each in (child, d, p, stack)] == [namespace[name] for name in ("Child", "D", "P", "Stack")]
    assert child.v == 3
    assert d == namespace["D"](1)
    assert p == (2,)


def test_a_class_that_the_cell_defines_works_in_the_session_and_is_one_class(session, run):
    session("scale = 3")
    job = run(
        """
        class Made:
            def __init__(self, v): self.v = v
            def scaled(self): return self.v * scale
        one = Made(2)
        one
        """
    )
    result, variable, cls = job.fetch(), job.variables["one"], job.variables["Made"]
    assert result.scaled() == 6
    assert type(result) is type(variable) is cls
    assert type(job.fetch()) is cls


def test_a_session_that_did_not_submit_the_job_gets_the_classes_too(session, run, root):
    session(
        """
        base = 10
        class Point:
            def __init__(self, x): self.x = x
            def moved(self): return self.x + base
        """
    )
    run("p = Point(1)\n[p, Point(2)]")
    other = """
import json, sys
from persist_magic import load
job = load("job", sys.argv[1])
first, second = job.fetch()
again = job.variables["p"]
print(json.dumps([first.moved(), second.moved(), type(first) is type(second) is type(again)]))
"""
    answer = subprocess.run([sys.executable, "-c", other, root], capture_output=True, text=True, check=True, timeout=60)
    moved, moved_too, one_class = json.loads(answer.stdout)
    assert (moved, moved_too, one_class) == (11, 12, True)


def test_an_exception_of_the_session_s_own_is_the_cause(session, run):
    namespace = session(
        """
        class Diverged(Exception):
            def __init__(self, step): super().__init__(step); self.step = step
        def solve(): raise Diverged(7)
        """
    )
    with pytest.raises(JobFailed, match="Diverged: 7") as failure:
        run("solve()").fetch()
    assert type(failure.value.__cause__) is namespace["Diverged"]
    assert failure.value.__cause__.step == 7


# ---------------------------------------------------------------- functions


def test_a_function_comes_back_and_sees_the_session(session, run):
    namespace = session("K = 2\ndef f(x): return x * K")
    job = run("def g(x): return f(x) + K\ng")
    g = job.fetch()
    assert g(3) == 8
    namespace["K"] = 10
    assert g(3) == 40, "K is the session's own"


def test_fetching_a_function_rebinds_nothing_of_the_session(session, run):
    namespace = session("K = 2\ndef f(x): return x * K")
    f = namespace["f"]
    job = run("K = 99\ndef f(x): return -K\ndef g(): return f(1), K\ng")
    g = job.fetch()
    assert namespace["K"] == 2
    assert namespace["f"] is f
    assert g() == (2, 2)


def test_closures_lambdas_and_partials_come_back(session, run):
    session("import functools")
    up, square, part = run(
        """
        def counter():
            n = 5
            def up():
                nonlocal n
                n += 1
                return n
            return up
        up = counter()
        up()
        [up, lambda x: x * x, functools.partial(pow, 2)]
        """
    ).fetch()
    assert (up(), up(), square(3), part(5)) == (7, 8, 9, 32)


def test_library_functions_and_modules_come_back_as_they_are(session, run):
    import math

    session("import math")
    assert run("[math, math.sqrt, len, str.upper]").fetch() == [math, math.sqrt, len, str.upper]


# ---------------------------------------------------------------- arrays


def test_large_arrays_come_back_beside_the_pickle_small_ones_within(session, run):
    namespace = session("import numpy as np\nweights = np.arange(1_000_000.0)")
    job = run("big = weights * 2\nsmall = np.arange(3)\nbig")
    big = job.fetch()
    kept = job.variables.describe()
    assert np.array_equal(big, namespace["weights"] * 2)
    assert [length for _, length, _ in kept["big"].payload.buffers] == [8_000_000]
    assert kept["big"].payload.size < 1000
    assert kept["small"].payload.buffers == ()
    assert job.variables["small"].tolist() == [0, 1, 2]
    assert (kept["big"].type, kept["big"].detail) == ("ndarray", "(1000000,) float64")


def test_the_result_and_a_variable_that_are_one_array_are_written_once(session, run):
    session("import numpy as np")
    job = run("big = np.ones(1_000_000)\nboth = {'same': big}\nbig")
    size = sum(file.stat().st_size for file in job.path.joinpath("run-1").iterdir())
    assert 8_000_000 < size < 8_100_000


def test_arrays_that_came_back_may_be_written_to_and_read_again(session, run):
    session("import numpy as np")
    job = run("np.zeros(100_000)")
    first = job.fetch()
    first[:] = 1
    second = job.fetch()
    assert (first.sum(), second.sum()) == (100_000, 0)
    job.cleanup()
    assert second.sum() == 0, "the mapped file outlives its name"


def test_arrays_of_other_shapes_come_back(session, run):
    session("import numpy as np, pandas as pd")
    fortran, strided, masked, objects, frame = run(
        """
        square = np.arange(90_000.0).reshape(300, 300)
        [
            np.asfortranarray(square),
            square[::2, ::3],
            np.ma.masked_less(square, 10),
            np.array([{"a": 1}, None], dtype=object),
            pd.DataFrame({"a": np.arange(20_000), "b": "x"}),
        ]
        """
    ).fetch()
    assert fortran.flags.f_contiguous
    assert fortran[1, 2] == strided[0, 0] + 302
    assert strided.shape == (150, 100)
    assert masked.mask.sum() == 10
    assert objects[0] == {"a": 1}
    assert frame["a"].sum() == 199_990_000


def test_an_altered_value_is_not_unpickled(session, run, root):
    session()
    job = run("text = 'a' * 1000\ntext")
    values = Path(job.directory.run(1).values_path)
    data = bytearray(values.read_bytes())
    data[data.index(b"aaaa") + 500] ^= 1
    values.write_bytes(data)
    with pytest.raises(Damaged, match="result"):
        job.fetch()


# ---------------------------------------------------------------- what cannot come back


def test_a_variable_that_cannot_be_pickled_is_told_and_the_others_survive(session, run):
    session()
    job = run(
        """
        import sqlite3
        class Loader:
            def __init__(self): self.conn = sqlite3.connect(":memory:")
            def __repr__(self): return "<Loader of nothing>"
        before = [1, 2]
        loader = Loader()
        nested = {"loaders": [loader]}
        after = {"a": 1}
        len(after)
        """
    )
    assert job.fetch() == 1
    assert job.variables["before"] == [1, 2]
    assert job.variables["after"] == {"a": 1}
    kept = job.variables.describe()
    assert kept["loader"].payload is None
    assert kept["loader"].type == "Loader"
    assert kept["loader"].shown == "<Loader of nothing>"
    assert kept["loader"].error == "loader.conn: cannot pickle 'Connection': a database connection"
    assert kept["nested"].error == "nested['loaders'][0].conn: cannot pickle 'Connection': a database connection"
    assert kept["before"].error == kept["after"].error == ""
    assert "loader: Loader (not kept: loader.conn" in repr(job.variables)
    with pytest.raises(NotPickled, match=r"loader of job job could not be kept: loader\.conn.*<Loader of nothing>"):
        job.variables["loader"]


def test_a_result_that_cannot_be_pickled_costs_only_itself(session, run):
    session()
    job = run("total = 5\n(n for n in range(3))")
    with pytest.raises(NotPickled, match="generator") as refusal:
        job.fetch()
    assert refusal.value.variable == "result"
    assert refusal.value.shown.startswith("<generator object")
    assert job.variables["total"] == 5


def test_a_value_whose_own_methods_raise_costs_only_itself(session, run):
    session()
    job = run(
        """
        class Broken:
            def __reduce_ex__(self, protocol): raise RuntimeError("not me")
            def __repr__(self): raise ValueError("nor so")
        broken = Broken()
        fine = 1
        """
    )
    kept = job.variables.describe()
    assert (kept["broken"].error, kept["broken"].payload) == ("not me", None)
    assert kept["broken"].shown == "<Broken object, its repr raised ValueError>"
    assert job.variables["fine"] == 1


def test_a_long_repr_is_cut(session, run):
    session()
    kept = run("words = 'word ' * 1000\nnumbers = list(range(100_000))").variables.describe()
    assert all(0 < len(each.shown) <= 200 for each in kept.values())
    assert (kept["words"].detail, kept["numbers"].detail) == ("len 5000", "len 100000")


# ---------------------------------------------------------------- which names are variables


def test_what_the_cell_assigned_or_changed_in_place_is_a_variable_what_it_only_read_is_not(session, run):
    namespace = session(
        """
        grown, untouched, rebound, same = [1], [1, 2], 3, 4
        table = {"a": {"deep": [0]}}
        class Model:
            def __init__(self): self.weights = [0]
            def fit(self): self.weights[0] += 1
        model, idle = Model(), Model()
        def total(): return sum(untouched)
        """
    )
    job = run(
        """
        grown.append(total())
        table["a"]["deep"].append(1)
        model.fit()
        idle.weights[0] + same
        rebound = rebound + 1
        new = untouched[0]
        """
    )
    assert job.fetch() is None
    assert set(job.variables) == {"grown", "table", "model", "rebound", "new"}
    assert job.variables["grown"] == [1, 3]
    assert job.variables["table"] == {"a": {"deep": [0, 1]}}
    assert type(job.variables["model"]) is namespace["Model"]
    assert job.variables["model"].weights == [1]
    assert (job.variables["rebound"], job.variables["new"]) == (4, 1)
    assert namespace["grown"] == [1], "nothing comes into the session by itself"


def test_an_array_changed_in_place_is_a_variable(session, run):
    session("import numpy as np\nbig, small, still = np.zeros(100_000), np.zeros(3), np.zeros(100_000)")
    job = run("big[5] = 1\nsmall[1] = 1\nstill.sum()")
    assert set(job.variables) == {"big", "small"}
    assert job.variables["big"].sum() == 1


def test_data_changed_by_a_function_of_the_session_is_a_variable(session, run):
    session(
        """
        log, quiet = [], []
        seen = {"n": 0}
        def note(x):
            seen["n"] += 1
            log.append((x, len(quiet)))
        """
    )
    job = run("note('a')\nnote('b')")
    assert set(job.variables) == {"log", "seen"}
    assert job.variables["log"] == [("a", 0), ("b", 0)]
    assert job.variables["seen"] == {"n": 2}


def test_a_global_that_a_function_rebinds_is_a_variable(session, run):
    session("count = 0\ndef up():\n    global count\n    count += 1")
    job = run("up()\nup()")
    assert dict(job.variables) == {"count": 2}


def test_functions_classes_and_imports_of_the_cell_are_variables_too(session, run):
    session()
    job = run("import math\ndef half(x): return x / 2\nclass A: pass\nfor i in range(3): last = i")
    assert set(job.variables) == {"math", "half", "A", "i", "last"}
    assert job.variables["half"](3) == 1.5


def test_names_that_the_cell_deletes_are_no_variables(session, run):
    session("data = [1]")
    job = run("data.append(2)\nkept = len(data)\ntemporary = 1\ndel data, temporary")
    assert set(job.variables) == {"kept"}


def test_a_cell_that_reads_only_has_no_variables(session, run):
    session("a = [1, 2]\ns = {'x', 'y', 'z'}\nd = {1: {2: 3}}\nf = lambda: a")
    job = run("sum(f()) + len(s) + len(d)")
    assert (job.fetch(), dict(job.variables)) == (7, {})
    with pytest.raises(NoSuchVariable, match="no variable 'a'"):
        job.variables["a"]


def test_the_variables_of_a_cell_that_failed_show_how_far_it_came(session, run):
    session("xs = [3, 0]")
    job = run("done = []\nfor x in xs: done.append(6 / x)")
    with pytest.raises(JobFailed, match="ZeroDivisionError"):
        job.fetch()
    assert job.variables["done"] == [2.0]
    assert job.variables["x"] == 0


def test_each_value_is_read_alone(session, run, root, tmp_path):
    """One variable that needs a module which is gone does not keep the others from being read."""
    (tmp_path / "gone_module.py").write_text("class Thing: pass")
    session(f"place = {str(tmp_path)!r}")
    job = run(
        """
        import sys
        sys.path.insert(0, place)
        import gone_module
        thing, plain = gone_module.Thing(), 4
        del gone_module
        """
    )
    assert load("job", root).variables["plain"] == 4
    with pytest.raises(
        NotRestored, match="thing of job job cannot be restored here: ModuleNotFoundError: No module named 'gone_module'"
    ):
        job.variables["thing"]
