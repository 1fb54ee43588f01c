"""Any data, however its parts share and hold each other, arrives and comes back with the same shape and the same identities."""

import json
import sys
import tempfile
import types
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from persist_magic.capture.cell import Selection, Source, capture
from persist_magic.restore import read_session, restore_session
from persist_magic.store import JobDirectory

from .graphs import FROZEN, IDENTICAL, LEAVES, MUTABLE, build, describe
from .sessions import play

GRAPHS = 400
"""So many graphs go through one job."""

CLASSES = """
from dataclasses import dataclass
@dataclass(eq=False)
class Box:
    name: str
    held: list = None
@dataclass(eq=False, slots=True)
class Slots:
    name: str
    held: list = None
"""

ATOMS = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=5), st.none(), st.booleans()
).map(lambda value: ["=", value])


@st.composite
def plans(draw):
    """A plan of a graph, see `graphs`."""
    kinds = draw(st.lists(st.sampled_from([*MUTABLE, *FROZEN, *LEAVES]), min_size=1, max_size=10))
    # a frozenset may be reached from a set, so what it holds is always hashable; a tuple is so if all it holds is
    hashable = {number for number, kind in enumerate(kinds) if kind in (*IDENTICAL, "bytes", "frozenset")}
    plan = [None] * len(kinds)
    for number in reversed(range(len(kinds))):
        kind = kinds[number]
        before = [each for each in range(number) if kinds[each] in FROZEN]
        reachable = [each for each in range(len(kinds)) if kind not in FROZEN or (each not in before and each != number)]
        ready = [
            each
            for each in reachable
            if each in hashable and (kinds[each] not in FROZEN or each > number or kind in MUTABLE)
        ]
        anything = st.one_of(ATOMS, st.sampled_from(reachable)) if reachable else ATOMS
        keys = st.one_of(ATOMS, st.sampled_from(ready)) if ready else ATOMS
        if kind in LEAVES:
            edges = []
        elif kind in ("set", "frozenset"):
            edges = draw(st.lists(keys, max_size=4))
        elif kind == "dict":
            edges = [each for pair in draw(st.lists(st.tuples(keys, anything), max_size=4)) for each in pair]
        else:
            edges = draw(st.lists(anything, max_size=4))
        if kind == "tuple" and all(not isinstance(edge, int) or edge in hashable for edge in edges):
            hashable.add(number)
        plan[number] = [kind, edges]
    return plan


def classes(namespace):
    return {"box": namespace["Box"], "slots": namespace["Slots"]}


@pytest.fixture
def main(monkeypatch):
    """A session's module, with the classes of the graphs."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(CLASSES, module.__dict__)
    return module


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans())
def test_a_graph_is_written_and_read_as_it_is(main, plan):
    note(plan)
    main.root = build(plan, classes(vars(main)))
    with tempfile.TemporaryDirectory() as place:
        directory = JobDirectory(f"{place}/job", "job")
        Path(directory.path).mkdir(mode=0o700)
        source = Source("cell", "root", "root")
        paths = directory.session_path, directory.buffers_path
        captured = capture("job", source, vars(main), Selection(), *paths)
        read = {}
        restore_session(read_session(directory, captured.payload), read)
    assert describe(read["root"]) == describe(main.root)


def drawn(count):
    """Plans as Hypothesis draws them."""
    found = []

    @settings(max_examples=count, database=None, phases=[Phase.generate])
    @given(plan=plans())
    def draw(plan):
        found.append(plan)

    draw()
    return found


def test_graphs_arrive_in_the_job_and_come_back(tmp_path):
    file = tmp_path / "plans.json"
    file.write_text(json.dumps(drawn(GRAPHS)))
    setup = f"""
import json, pathlib, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from graphs import build, describe
{CLASSES}
plans = json.loads(pathlib.Path({str(file)!r}).read_text())
roots = [build(plan, {{"box": Box, "slots": Slots}}) for plan in plans]
described = [describe(root) for root in roots]
"""
    cell = """
different = [number for number, root in enumerate(roots) if describe(root) != described[number]]
assert not different, [plans[number] for number in different[:3]]
roots
"""
    home = """
different = [number for number, root in enumerate(back) if describe(root) != described[number]]
assert not different, [plans[number] for number in different[:3]]
assert len(back) == len(plans) and back is not roots
"""
    (answer,) = play({"graphs": (setup, cell, home)}, tmp_path).values()
    assert answer.failure == ""
