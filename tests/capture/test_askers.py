"""Who asked for a captured name: the chain from the function that uses it up to the cell."""

import re

import pytest

from persist_magic import persist
from persist_magic.capture.cell import Selection, Source
from persist_magic.submission import preview

CHAINS = {
    "the cell": ("x = 1", "x", {"x": "cell"}),
    "a function": ("x = 1\ndef f(): return x", "f()", {"f": "cell", "x": "f() ← cell"}),
    "functions in a row": (
        "thr = 0.5\ndef good(v): return v > thr\ndef select(vs): return [v for v in vs if good(v)]\nvs = [0, 1]",
        "select(vs)",
        {"select": "cell", "vs": "cell", "good": "select() ← cell", "thr": "good() ← select() ← cell"},
    ),
    "four functions": (
        "x = 1\ndef d(): return x\ndef c(): return d()\ndef b(): return c()\ndef a(): return b()",
        "a()",
        {
            "a": "cell",
            "b": "a() ← cell",
            "c": "b() ← a() ← cell",
            "d": "c() ← b() ← a() ← cell",
            "x": "d() ← c() ← b() ← a() ← cell",
        },
    ),
    "what the cell asks for itself": ("x = 1\ndef f(): return x", "f() + x", {"f": "cell", "x": "cell"}),
    "two functions": (
        "x, y = 1, 2\ndef f(): return x\ndef g(): return y + f()",
        "f(), g()",
        {"f": "cell", "g": "cell", "x": "f() ← cell", "y": "g() ← cell"},
    ),
    "functions that call each other": (
        "n = 3\ndef even(k): return k == 0 or odd(k - 1)\ndef odd(k): return k != 0 and even(k - n)",
        "even(6)",
        {"even": "cell", "odd": "even() ← cell", "n": "odd() ← even() ← cell"},
    ),
    "methods of an instance": (
        "rate, start = 2, 5\nclass Model:\n    def __init__(self): self.w = start\n    def step(self): return self.w * rate\nmodel = Model()",
        "model.step()",
        {"model": "cell", "rate": "Model.step() ← model ← cell", "start": "Model.__init__() ← model ← cell"},
    ),
    "methods of a class": (
        "rate = 2\nclass Model:\n    def step(self): return rate",
        "Model().step()",
        {"Model": "cell", "rate": "Model.step() ← Model ← cell"},
    ),
    "a function that a method uses": (
        "x = 1\ndef helper(): return x\nclass A:\n    def run(self): return helper()\na = A()",
        "a.run()",
        {"a": "cell", "helper": "A.run() ← a ← cell", "x": "helper() ← A.run() ← a ← cell"},
    ),
    "a function in a list": (
        "x = 1\ndef f(): return x\nsteps = [f]\ndel f",
        "steps[0]()",
        {"steps": "cell", "x": "f() ← steps ← cell"},
    ),
    "a closure": (
        "x = 1\ndef make():\n    def inner(): return x\n    return inner\nrun = make()",
        "run()",
        {"run": "cell", "x": "make.<locals>.inner() ← run ← cell"},
    ),
    "a default": ("x = 1\ny = 5\ndef f(a=y): return a + x\ndel y", "f()", {"f": "cell", "x": "f() ← cell"}),
    "a nested function": (
        "x = 1\ndef outer():\n    def inner(): return x\n    return inner()",
        "outer()",
        {"outer": "cell", "x": "outer() ← cell"},
    ),
    "a module": ("import math\ndef f(): return math.pi", "f()", {"f": "cell", "math": "f() ← cell"}),
}


def asked(names):
    return {each["name"]: each["asked_by"] for each in names}


@pytest.mark.parametrize(("setup", "cell", "chains"), CHAINS.values(), ids=CHAINS)
def test_a_dry_run_knows_who_asked(session, setup, cell, chains):
    shipped = preview("dry", Source("cell", cell, cell), session(setup), backend="local", options=(), selection=Selection())
    assert {each.name: each.asked_by for each in shipped.names} == chains


@pytest.mark.parametrize("name", ["functions in a row", "a function that a method uses"])
def test_the_job_knows_it_too(session, name):
    setup, cell, chains = CHAINS[name]
    session(setup)
    assert asked(session.persist("job", cell).info()["names"]) == chains


def test_a_long_chain_is_cut_in_its_middle(session):
    functions = "".join(f"def f{number}(): return f{number + 1}()\n" for number in range(8))
    session(f"{functions}def f8(): return x\nx = 1")
    chains = asked(session.persist("long", "f0()").info()["names"])
    assert chains["f3"] == "f2() ← f1() ← f0() ← cell"
    assert chains["x"].startswith("f8() ← ")
    assert chains["x"].endswith(" ← cell")
    assert "…" in chains["x"]
    assert all(words.count("←") <= 6 for words in chains.values())


def test_what_was_added_by_hand_is_the_cells(session):
    session("hidden = 1\ndef f(): return hidden\nunused = 2")
    job = session.persist("added", "f()", add=("hidden", "unused"))
    assert asked(job.info()["names"]) == {"f": "cell", "hidden": "cell", "unused": "cell"}


def test_what_was_left_out_is_not_told(session):
    session("log = 1\nx = 2\ndef f(): return log, x")
    shipped = asked(session.persist("less", "f", omit=("log",)).info()["names"])
    assert shipped == {"f": "cell", "x": "f() ← cell"}


def test_a_persisted_functions_chain_begins_with_it(session, root):
    namespace = session("thr = 0.5\ndef good(v): return v > thr\ndef select(vs): return [v for v in vs if good(v)]")
    job = persist(namespace["select"], "call", args=([0, 1],), root=root)
    chains = asked(job.info()["names"])
    assert chains["thr"] == "good() ← select()"
    assert chains["good"].startswith("select()")
    assert job.fetch(60) == [1]


def test_a_persisted_methods_chain_begins_with_it(session, root):
    namespace = session("rate = 2\nclass Model:\n    def step(self): return rate\nmodel = Model()")
    job = persist(namespace["model"].step, "call", root=root)
    chains = asked(job.info()["names"])
    assert chains["rate"].startswith("Model.step()")
    assert job.fetch(60) == 2


def test_the_magics_dry_run_prints_the_chain(shell):
    shell.run(
        "import numpy as np\nthr = np.zeros(200_000)\ndef good(v): return v > thr[0]\ndef select(vs): return list(filter(good, vs))"
    )
    shell.said()
    shell.run("%%persist dry --dry-run\nselect([0, 1])")
    said = shell.said()
    assert re.search(r"^thr +ndarray \(200000,\) float64 +1\.6 MB +good\(\) ← select\(\) ← cell$", said, re.MULTILINE)
    assert re.search(r"^select +function +.* cell$", said, re.MULTILINE)
    job = shell.run("%%persist real\nselect([0, 1])")
    assert asked(job.info()["names"])["thr"] == "good() ← select() ← cell"
    assert job.fetch(60) == [1]
