"""How ``--each`` is read, which task gets what, and how sets of tasks are written."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persist_magic.each import bindings, checked, evaluate, read, split_line, written
from persist_magic.errors import UsageError

LINES = [
    ("fit --each alpha=xs", "fit ", ["alpha=xs"]),
    ("fit --each alpha=np.logspace(-4, 0, 200) --slurm", "fit  --slurm", ["alpha=np.logspace(-4, 0, 200)"]),
    ("--each alpha=xs fit", " fit", ["alpha=xs"]),
    ("fit --each=alpha=xs", "fit ", ["alpha=xs"]),
    ("fit --each a=[1, 2] --each b='x y', \"(\" --replace", "fit   --replace", ["a=[1, 2]", "b='x y', \"(\""]),
    ("fit --each 'a=[1, \"b\"]' --slurm", "fit  --slurm", ['a=[1, "b"]']),
    ("fit --each a, b=zip(xs, ys) -- -t 30", "fit  -- -t 30", ["a, b=zip(xs, ys)"]),
    ("fit --each a=xs if ys else zs --limit 3", "fit  --limit 3", ["a=xs if ys else zs"]),
    ("fit --each a=[x for x in xs if x == 1]", "fit ", ["a=[x for x in xs if x == 1]"]),
    ("fit --each a=[' --slurm ', \"it's\"]", "fit ", ["a=[' --slurm ', \"it's\"]"]),
    ("fit --each a=d['\\'']", "fit ", ["a=d['\\'']"]),
    ("fit -- --each a=xs", "fit -- --each a=xs", []),
    ("fit --slurm", "fit --slurm", []),
]


@pytest.mark.parametrize(("line", "rest", "each"), LINES, ids=[line for line, _, _ in LINES])
def test_values_are_taken_out_of_a_line(line: str, rest: str, each: list[str]) -> None:
    assert split_line(line) == (rest, each)


REFUSED = [
    ("fit --each", "takes NAME=EXPRESSION"),
    ("fit --each alpha", "takes NAME=EXPRESSION"),
    ("fit --each alpha=", "is no Python expression"),
    ("fit --each alpha=[1, 2", "is no Python expression"),
    ("fit --each class=xs", "'class' is no name"),
    ("fit --each __name__=xs", "'__name__' is no name"),
    ("fit --each a.b=xs", "'a.b' is no name"),
    ("fit --each a,a=xs", "a name stands twice"),
    ("fit --each a==b", "takes NAME=EXPRESSION"),
]


@pytest.mark.parametrize(("line", "words"), REFUSED, ids=[line for line, _ in REFUSED])
def test_what_is_no_axis_is_refused(line: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace(".", r"\.")):
        split_line(line)


BAD = [
    ("a=missing", "a=missing: NameError"),
    ("a=3", "its values cannot be listed: TypeError: 'int' object is not iterable"),
    ("a=[]", "there are no values"),
    ("a='abc'", r"a text is one value; write a list, as in a=\['abc'\]"),
    ("a,b=[(1, 2), (3,)]", "value 1 has 1 parts for 2 names"),
    ("a,b=[1, 2]", "value 0 cannot be unpacked"),
    ("a=itertools.count()", "more than 1,000,000 tasks"),
    ("a=(1 / x for x in (1, 0))", "its values cannot be listed: ZeroDivisionError"),
]


@pytest.mark.parametrize(("text", "words"), BAD, ids=[text for text, _ in BAD])
def test_what_cannot_be_dealt_out_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        evaluate([text], {"itertools": itertools})


def test_too_large_a_product_and_a_name_given_twice_are_refused() -> None:
    with pytest.raises(UsageError, match="more than 1,000,000 tasks"):
        evaluate(["a=range(1001)", "b=range(1000)"], {})
    with pytest.raises(UsageError, match="a is given twice"):
        evaluate(["a,b=[(1, 2)]", "a=[3]"], {})


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_the_order_is_that_of_nested_loops(lengths: list[int]) -> None:
    names = "abcd"[: len(lengths)]
    axes = checked([((name,), range(length)) for name, length in zip(names, lengths, strict=True)])
    expected = [dict(zip(names, values, strict=True)) for values in itertools.product(*map(range, lengths))]
    assert [bindings(axes, task) for task in range(len(expected))] == expected


def test_several_names_take_the_parts_of_a_value() -> None:
    axes = evaluate(["a, b=zip([1, 2], 'xy')", "c=[7]"], {})
    assert [bindings(axes, task) for task in range(2)] == [{"a": 1, "b": "x", "c": 7}, {"a": 2, "b": "y", "c": 7}]


@given(st.sets(st.integers(0, 5000), min_size=1, max_size=200))
def test_a_set_of_tasks_comes_back(tasks: set[int]) -> None:
    assert read(written(tasks)) == sorted(tasks)


def test_sets_of_tasks_are_short() -> None:
    assert written([40, 3, 7, *range(19, 40)]) == "3,7,19-40"


@pytest.mark.parametrize("text", ["", ",", "x", "-3", "3-", "5-3", "1-999999999", "3;4"])
def test_what_names_no_tasks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write them as 3,7,19-40"):
        read(text)
