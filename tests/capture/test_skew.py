"""Other Pythons and other versions of packages: what can be read is read, what cannot is refused by words that name both.

``PERSIST_TESTS_PYTHONS`` lists the interpreters to try, each with this package installed; `tests/run` sets it. Without it
there is only the one that runs the tests.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import warnings

import pytest

from persist_magic.errors import JobFailed, NotRestored, PackageSkew, VersionSkew

from ..conftest import environment
from .test_modules import write

PYTHONS = list(filter(None, os.environ.get("PERSIST_TESTS_PYTHONS", "").split(os.pathsep))) or [sys.executable]
HERE = sys.version.split()[0]

# ---------------------------------------------------------------- Pythons


VALUES = """
import array, collections, datetime, decimal, fractions, functools, http, itertools, math, operator, re, types, uuid, zoneinfo
import numpy as np

shared = [1, 2]
loop = [shared]
loop.append(loop)
values = {
    "numbers": [1, -(2**100), 2.5, float("inf"), 1 + 2j, True, None],
    "text": ["umlaut \\u00e4", "lone \\ud800", b"bytes", bytearray(b"array")],
    "containers": {"list": [1, [2]], "tuple": (1, (2,)), "set": {1}, "frozen": frozenset({2}), "dict": {(1, 2): {}}},
    "the same object twice": [shared, shared, {"shared": shared}],
    "a loop": loop,
    "collections": [
        collections.OrderedDict(a=1),
        collections.defaultdict(list, a=[1]),
        collections.Counter("aab"),
        collections.deque([1, 2], maxlen=3),
        collections.ChainMap({"a": 1}),
    ],
    "dates": [
        datetime.datetime(2020, 1, 2, 3, 4, 5, 6),
        datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        datetime.date(2020, 1, 2),
        datetime.timedelta(1, 2, 3),
    ],
    "exact numbers": [decimal.Decimal("1.10"), fractions.Fraction(1, 3)],
    "library": [uuid.UUID(int=5), http.HTTPStatus.OK, re.compile("a+", re.I), types.SimpleNamespace(a=1), range(2, 9, 3), slice(1, 2)],
    "functions by name": [math.sin, len, functools.partial(max, 1), operator.itemgetter(1), json_dumps, "".join],
    "classes by name": [int, collections.OrderedDict, datetime.datetime, ValueError],
    "errors": [ValueError("no", 1), KeyError("k"), OSError(2, "gone", "file"), AttributeError("a"), StopIteration(3)],
    "arrays": [
        np.arange(5),
        np.arange(100_000.0),
        np.arange(90_000.0).reshape(300, 300).T,
        np.arange(100_000)[::2],
        np.array(["a", "bc"]),
        np.array([1, "a", None], dtype=object),
        np.ones(3, dtype=[("a", "i4"), ("b", "f8")]),
        np.arange("2020-01-01", "2020-01-04", dtype="M8[D]"),
        np.float64(1.5),
        np.dtype("i4"),
        array.array("d", [1, 2]),
        memoryview(b"view").tobytes(),
    ],
    "a view and its base": (lambda x: [x, x[1:3], x[::-1]])(np.arange(6)),
    "large text": "x" * 3_000_000,
    "deep": functools.reduce(lambda inner, _: [inner], range(3000), 0),
}
"""

WORDS = """
def words(value):
    if type(value).__name__ == "ndarray":
        return [value.dtype.str, value.shape, value.strides, repr(value.tolist()[:3]), float(value.sum()) if value.dtype.kind in "if" else None]
    if type(value).__name__ == "OrderedDict":
        return ["OrderedDict", list(value.items())]
    if isinstance(value, BaseException):
        return [type(value).__name__, repr(value.args), repr(value.__cause__)]
    if isinstance(value, list) and not any(each is value for each in value) and not (len(value) == 1 and isinstance(value[0], list)):
        return list(map(words, value))
    if isinstance(value, list) and len(value) == 1:
        depth = 0
        while isinstance(value, list):
            value, depth = value[0], depth + 1
        return [depth, value]
    if isinstance(value, str):
        return ascii(value[:100]) + str(len(value))
    return repr(value).partition(" at 0x")[0]
"""

WRITER = f"""
import sys
from json import dumps as json_dumps
from persist_magic import persist
from persist_magic.submission import submit
from persist_magic.capture.cell import Source
root, name = sys.argv[1:]
{VALUES}
{WORDS}
def make():
    return values
class Own:
    pass
def submitted(kind, cell):
    return submit(kind + "-" + name, Source("cell", cell, cell), globals(), root=root).job
plain = submitted("plain", "result = dict(values)\\nresult")
code = submitted("code", "class Fresh: pass\\nfresh, own, function, number = Fresh(), Own(), make, 5\\nlambda: 5")
plain.wait(60), code.wait(60)
print(json_dumps({{"version": sys.version.split()[0], "words": {{key: words(value) for key, value in values.items()}}}}))
"""

READER = f"""
import json, sys
from persist_magic import load
from persist_magic.errors import PersistError
{WORDS}
root, *names = sys.argv[1:]
found = {{}}
def read(get):
    try:
        return get()
    except PersistError as error:
        return f"{{type(error).__name__}}: {{error}}"
for name in names:
    plain, code = load("plain-" + name, root), load("code-" + name, root)
    value = read(plain.fetch)
    found[name] = {{
        "version": sys.version.split()[0],
        "states": [plain.status().state.value, code.status().state.value],
        "plain": {{key: words(each) for key, each in value.items()}} if isinstance(value, dict) else value,
        "variable": isinstance(read(lambda: plain.variables["result"]), dict),
        "number": read(lambda: code.variables["number"]),
        "result": words(read(code.fetch)),
        "code": {{each: words(read(lambda: code.variables[each])) for each in ("Fresh", "fresh", "own", "function")}},
    }}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def crossed(tmp_path_factory):
    """What each Python wrote, and what each other one reads of it: by the numbers of writer and reader."""
    place = tmp_path_factory.mktemp("pythons")
    root = place / ".persist"

    def start(python, script, *words):
        path = place / script[0]
        if not path.exists():  # another process may be reading it
            path.write_text(script[1])
        command = [python, "-W", "ignore::UserWarning", str(path), str(root), *words]
        return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)

    def answers(processes):
        outputs = [process.communicate(timeout=300)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * len(processes)
        return [json.loads(output) for output in outputs]

    names = [str(number) for number in range(len(PYTHONS))]
    written = answers([start(python, ("write.py", WRITER), name) for name, python in zip(names, PYTHONS, strict=True)])
    read = answers([start(python, ("read.py", READER), *names) for python in PYTHONS])
    return {(w, r): (written[w], read[r][str(w)]) for w in range(len(PYTHONS)) for r in range(len(PYTHONS))}


PAIRS = [(w, r) for w in range(len(PYTHONS)) for r in range(len(PYTHONS))]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_results_without_code_are_read_by_every_python(crossed, pair):
    written, read = crossed[pair]
    assert read["states"] == ["done", "done"]
    assert isinstance(read["plain"], dict), (written["version"], read["version"], read["plain"])
    assert read["plain"] == written["words"]
    assert read["variable"] is True
    assert read["number"] == 5, "of a job that left code behind what is no code is read"


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_results_with_code_are_read_by_the_same_python_only(crossed, pair):
    written, read = crossed[pair]
    versions = written["version"], read["version"]
    same = len({version.rpartition(".")[0] for version in versions}) == 1
    for name, words in {"result": read["result"], **read["code"]}.items():
        refusal = (
            f"VersionSkew: {name} of job was written by Python {versions[0]} and holds functions or classes "
            f"and cannot be read by Python {versions[1]}"
        ).replace("of job", f"of code-{pair[0]}")
        assert (words.strip("'")[:60] == refusal[:60]) is not same, (versions, words)


def rewrite(path, change):
    """Let a record say something else."""
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def of_another_python(payload):
    payload["magic"], payload["python"] = "0badcafe", "3.99.1"


def test_code_of_another_python_is_refused_by_words_that_name_both(session):
    session("def double(x): return 2 * x")
    job = session.persist("skew", "number = double(4)\nfunction = lambda: 1\ndouble")
    assert job.fetch(60)(1) == 2
    outcome = job.path / "run-1" / "outcome.json"

    def change(record):
        for kept in (record["result"], *record["variables"].values()):
            of_another_python(kept["payload"])

    rewrite(outcome, change)
    words = f"was written by Python 3.99.1 and holds functions or classes and cannot be read by Python {HERE}"
    for what, read in {"result": job.fetch, "function": lambda: job.variables["function"]}.items():
        with pytest.raises(VersionSkew) as refusal:
            read()
        assert str(refusal.value) == f"{what} of skew {words}"
    assert job.variables["number"] == 8, "there is no code in it"

    rewrite(job.path / "job.json", lambda record: of_another_python(record["payload"]))
    with pytest.raises(JobFailed, match=re.escape(f"captured data of skew {words}")):
        job.rerun().fetch(60)


# ---------------------------------------------------------------- packages


LIBRARY = """
__version__ = {version!r}
class Thing:
    def __init__(self, size): self.size = size
def grow(thing): return Thing(thing.size + 1)
"""


@pytest.fixture
def library(home):
    """A package on sys.path; ``library(version, text)`` makes it another version, as in a session that was started since."""

    def install(version, text=LIBRARY):
        for name in [each for each in sys.modules if each.partition(".")[0] == "fakelib"]:
            del sys.modules[name]
        if version is None:
            (home / "fakelib" / "__init__.py").unlink()
            (home / "fakelib").rename(home / "gone")
        else:
            # longer with each version: bytecode is recognised by the time in seconds and the size
            install.versions += 1
            write(home, {"fakelib/__init__.py": text.format(version=version) + "#" * install.versions})
        importlib.invalidate_caches()

    install.versions = 0
    install("1.2.3")
    return install


WITHOUT_THING = "__version__ = {version!r}\n"
SAME_MINOR = ["1.2.3", "1.2.4", "1.2.3rc1+local"]
OTHER_MINOR = ["1.3.0", "2.2.3", "0.9", "1.20.3"]


@pytest.fixture
def made(session, library):
    """A job whose captured data and whose result refer to the package."""
    session("import fakelib\nthing = fakelib.Thing(4)")
    job = session.persist("made", "fakelib.grow(thing)")
    assert job.fetch(60).size == 5
    return job


@pytest.mark.parametrize("version", SAME_MINOR)
def test_a_patch_of_a_package_changes_nothing(made, library, version):
    library(version)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made.fetch().size == 5


@pytest.mark.parametrize("version", OTHER_MINOR)
def test_another_version_of_a_package_is_warned_of_and_read(made, library, version):
    library(version)
    with pytest.warns(PackageSkew) as told:
        assert made.fetch().size == 5
    assert [str(each.message) for each in told] == [f"result of made was written with fakelib 1.2.3, here fakelib {version}"]


def test_if_it_cannot_be_read_with_it_the_error_names_both_versions(made, library):
    library("2.0.0", WITHOUT_THING)
    with pytest.warns(PackageSkew), pytest.raises(VersionSkew) as refusal:
        made.fetch()
    assert str(refusal.value).startswith(
        "result of made was written by fakelib 1.2.3 and cannot be read by fakelib 2.0.0 (AttributeError: "
    )
    assert isinstance(refusal.value.__cause__, AttributeError)


def test_without_another_version_the_error_is_the_restoring_one(made, library):
    library("1.2.3", WITHOUT_THING)
    with pytest.raises(NotRestored, match=r"result of job made cannot be restored here: AttributeError: .*Thing"):
        made.fetch()


def test_a_missing_package_is_named(made, library):
    library(None)
    with pytest.raises(NotRestored) as refusal:
        made.fetch()
    words = "result of job made cannot be restored here: it needs the package fakelib 1.2.3, which cannot be imported here ("
    assert str(refusal.value).startswith(words)


def test_a_rerun_tells_the_same(made, library):
    library("1.4.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the rerun's result is of the new version
        assert made.rerun().fetch(60).size == 5
    assert "captured data of made was written with fakelib 1.2.3, here fakelib 1.4.0" in made.stderr()
    library("2.0.0", WITHOUT_THING)
    with pytest.raises(
        JobFailed, match=r"captured data of made was written by fakelib 1\.2\.3 and cannot be read by fakelib 2\.0\.0"
    ):
        made.rerun().fetch(60)
    library(None)
    with pytest.raises(
        JobFailed, match=r"captured data of job made cannot be restored here: it needs the package fakelib 1\.2\.3"
    ):
        made.rerun().fetch(60)


def test_versions_of_what_is_referred_to_are_written_down(session, library):
    session("import fakelib, json, numpy as np\nthing = fakelib.Thing(1)\nplain = [1]")
    job = session.persist("versions", "array = np.ones(3)\nown = [thing]\nlen(plain), json.dumps(1)")
    job.wait(60)
    kept = job.variables.describe()
    import numpy

    assert job.spec().payload.packages == {"fakelib": "1.2.3", "numpy": numpy.__version__}
    assert job.outcome().result.payload.packages == {}
    assert kept["own"].payload.packages == {"fakelib": "1.2.3"}
    assert {package.partition(".")[0] for package in kept["array"].payload.packages} <= {"numpy"}
