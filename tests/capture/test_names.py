"""Somebody writes a cell, and the job takes along the names that the cell reads from the session: all of them, no others.

The analysis is asked first, by itself; the same stories then become real jobs (see `sessions`), which get those names, and what
functions, classes and instances need in turn, and give the right value.
"""

import builtins
import random

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from persist_magic.capture.names import expansion_names, needed_names

from .sessions import play


def session(setup):
    """The globals of a session in which `setup` was executed."""
    namespace = {}
    exec(setup, namespace)
    del namespace["__builtins__"]
    return namespace


def translated(cell):
    """The cell as IPython hands it to Python."""
    return TransformerManager().transform_cell(cell)


# Each story: what the session has, the cell, the names that it reads (in alphabetical order), and what r is in the end.
READS = {
    # straight lines
    "a name assigned before it is read is the cell's own": ("steps = 10; dt = 3", "steps = 4\nr = steps * dt", "dt", 12),
    "a name read before it is assigned": ("steps = 10", "steps = steps + 1\nr = steps", "steps", 11),
    "an augmented assignment reads": ("total = 5", "total += 2\nr = total", "total", 7),
    "an augmented assignment of the cell's own name": ("total = 5", "total = 1\ntotal += 2\nr = total", "", 3),
    "an item of a session's list is set": ("row = [1, 2]; k = 1", "row[k] = 7\nr = row", "k row", [1, 7]),
    "an item is changed in place": ("row = [1, 2]", "row[0] += 7\nr = row", "row", [8, 2]),
    "an attribute is set": ("import types; box = types.SimpleNamespace(v=1)", "box.v = 9\nr = box.v", "box", 9),
    "a tuple is unpacked": ("pair = (1, 2); a = 0", "a, *b = pair\nr = a, b", "pair", (1, [2])),
    "two targets of one assignment": ("a = 0; b = 0", "a = b = 3\nr = a + b", "", 6),
    "the value is read before its target is bound": ("a = 1; b = 2", "a, b = b, a\nr = a, b", "a b", (2, 1)),
    "a deleted name was there": ("big = 1; x = 2", "del big\nr = x", "big x", 2),
    "an item is deleted": ("table = {'a': 1, 'b': 2}", "del table['a']\nr = table", "table", {"b": 2}),
    "a name deleted and assigned again": ("x = 1", "x = 3\ndel x\nx = 4\nr = x", "", 4),
    "an annotated assignment": ("Size = int; n = 3", "m: Size = n\nr = m", "Size n", 3),
    "an annotation without a value binds nothing": ("n = 3", "n: int\nr = n", "n", 3),
    "a walrus binds for what follows": ("y = 5; data = [1, 2]", "r = (y := len(data)) + y", "data", 4),
    "unused names stay at home": ("a = 1; unused = 2", "r = a", "a", 1),
    "a string that only looks like a name": ("a = 1; b = 2", "r = 'a' + str(b)", "b", "a2"),
    "a keyword argument is no name": ("key = 1; words = ['bb', 'a']", "r = sorted(words, key=len)", "words", ["a", "bb"]),
    "an attribute is no name": ("real = 1; z = 3j", "r = z.imag", "z", 3.0),
    "a slice": ("lo = 1; hi = 3; xs = [0, 1, 2, 3]", "r = xs[lo:hi]", "hi lo xs", [1, 2]),
    "a name that hides a builtin": ("sum = max", "r = sum([1, 5, 2])", "sum", 5),
    "a builtin": ("a = [1, 5]", "r = max(a)", "a", 5),
    "the last result": ("_ = 41", "r = _ + 1", "_", 42),
    # f-strings
    "an f-string": ("v = 3; w = 5", "r = f'{v:{w}}|{v!r}'", "v w", "    3|3"),
    "an f-string in an f-string": ("name = 'x'; pre = '-'", "r = f'{f\"{pre}{name}\"}!'", "name pre", "-x!"),
    "braces that stand for themselves": ("v = 3; w = 4", "r = f'{{v}}{w}'", "w", "{v}4"),
    # branches
    "only one branch assigns": ("x = 1; flag = False", "if flag: x = 2\nr = x", "flag x", 1),
    "both branches assign": ("x = 1; flag = False", "if flag: x = 2\nelse: x = 3\nr = x", "flag", 3),
    "elif without else": ("x = 1; n = 5", "if n == 1: x = 2\nelif n == 2: x = 3\nr = x", "n x", 1),
    "the branch that does not assign raises": (
        "x = 1; flag = True",
        "if flag: x = 2\nelse: raise ValueError\nr = x",
        "flag",
        2,
    ),
    "a conditional expression": ("a = 1; b = 2; flag = True", "r = a if flag else b", "a b flag", 1),
    "a walrus behind an and": ("m = 1; flag = 0", "flag and (m := 2)\nr = m", "flag m", 1),
    # loops
    "a loop variable after a loop that may be empty": ("i = 7; n = 0", "for i in range(n): pass\nr = i", "i n", 7),
    "a loop body may never run": ("x = 1; n = 0", "for i in range(n): x = 2\nr = x", "n x", 1),
    "inside the loop its variable is bound": ("i = 7; ks = [1, 2]", "r = []\nfor i in ks: r.append(i)", "ks", [1, 2]),
    "a name carried from one turn to the next": (
        "first = 5; ks = [1, 2]",
        "for v in ks:\n    if v == 1: first = v\n    else: r = first + v",
        "first ks",
        3,
    ),
    "a while loop": ("x = 3; n = 0", "while x:\n    x -= 1\n    n += 1\nr = n", "n x", 3),
    "while True that is left by break": (
        "x = 1; queue = [3]",
        "while True:\n    x = queue.pop()\n    break\nr = 2",
        "queue",
        2,
    ),
    "for … else": ("x = 1; xs = []", "for v in xs:\n    x = v\n    break\nelse: x = 9\nr = x", "x xs", 9),
    "continue skips the assignment": (
        "x = 1; xs = [0]",
        "for v in xs:\n    if not v: continue\n    x = v\nr = x",
        "x xs",
        1,
    ),
    # exceptions
    "every way through a try assigns": ("x = 1", "try: x = 2\nexcept Exception: x = 3\nr = x", "", 2),
    "the handler does not assign": (
        "x = 1; d = {}",
        "try: x = d['k']\nexcept KeyError: pass\nr = x",
        "d x",
        1,
    ),
    "the handler's own name": ("e = 1; d = {}", "try: d['k']\nexcept KeyError as e: r = e.args", "d", ("k",)),
    "an exception class of the session": (
        "class Odd(Exception): pass\ndef go(): raise Odd",
        "try: go()\nexcept Odd: r = 1",
        "Odd go",
        1,
    ),
    "finally always assigns": ("x = 1; d = {}", "try: d\nfinally: x = 4\nr = x", "d", 4),
    "finally reads what the body may not have assigned": (
        "x = 1; d = {}",
        "try:\n    try: x = d['k']\n    finally: r = x\nexcept KeyError: pass",
        "d x",
        1,
    ),
    "else of a try": ("x = 1; d = {'k': 2}", "try: v = d['k']\nexcept KeyError: x = 0\nelse: x = v\nr = x", "d", 2),
    "with … as": ("import contextlib; f = 9", "with contextlib.nullcontext(4) as f: r = f", "contextlib", 4),
    "a with block binds for what follows": (
        "import contextlib; x = 9",
        "with contextlib.nullcontext(): x = 2\nr = x",
        "contextlib",
        2,
    ),
    "contextlib.suppress cuts a block short": (
        "import contextlib; x = 9; d = {}",
        "with contextlib.suppress(KeyError): x = d['k']\nr = x",
        "contextlib d x",
        9,
    ),
    # match
    "match binds its patterns": (
        "p = (1, 2); limit = 3; a = 0",
        "match p:\n    case (a, b) if a < limit: r = a + b\n    case _: r = 0",
        "limit p",
        3,
    ),
    "match on a class and a constant": (
        "class Point:\n    __match_args__ = ('x',)\n    def __init__(self, x): self.x = x\nimport types\n"
        "K = types.SimpleNamespace(one=1)\np = Point(1)",
        "match p:\n    case Point(K.one): r = 'one'\n    case Point(x): r = x",
        "K Point p",
        "one",
    ),
    "no case may fit": ("x = 1; p = 3", "match p:\n    case 1: x = 2\nr = x", "p x", 1),
    "the last case fits all": ("x = 1; p = 3", "match p:\n    case 1: x = 2\n    case _: x = 5\nr = x", "p", 5),
    "match of a mapping and its rest": (
        "p = {'a': 1, 'b': 2}; rest = 0",
        "match p:\n    case {'a': v, **rest}: r = v, rest",
        "p",
        (1, {"b": 2}),
    ),
    # scopes
    "a comprehension's variable is its own": ("x = 1; ks = [1, 2]", "r = [x for x in ks]", "ks", [1, 2]),
    "a comprehension's variable does not leave it": ("x = 1; ks = [1, 2]", "[x for x in ks]\nr = x", "ks x", 1),
    "a comprehension in a class's body does not see the class's names": (
        "a = 1",
        "class C:\n    a = 5\n    both = [a + v for v in range(a) if v == 4]\nr = C.both",
        "a",
        [5],
    ),
    "a comprehension over a name that it hides": ("x = [3]", "r = [x for x in x]", "x", [3]),
    "two loops in a comprehension": (
        "scale = 3; rows = [[1], [2]]; y = 9",
        "r = [scale * y for row in rows for y in row if y]",
        "rows scale",
        [3, 6],
    ),
    "a dict comprehension": ("ks = [1]; f = str; k = 0", "r = {f(k): k for k in ks}", "f ks", {"1": 1}),
    "a generator": ("ks = [1, 2]; w = 2", "r = sum(w * k for k in ks)", "ks w", 6),
    "a lambda": ("w = 2; x = 9", "r = (lambda x, y=w: x * y)(4)", "w", 8),
    "a nested function sees its enclosing one": (
        "x = 1; y = 2",
        "def outer():\n    x = 3\n    def inner(): return x + y\n    return inner()\nr = outer()",
        "y",
        5,
    ),
    "a local name of a function": ("x = 1", "def f():\n    x = 2\n    return x\nr = f()", "", 2),
    "decorator, default and annotation": (
        "def twice(f): return lambda *a: 2 * f(*a)\nD = 4\nA = int\nG = 2",
        "@twice\ndef f(x: A = D): return x + G\nr = f()",
        "A D G twice",
        12,
    ),
    "a function decorated by the older one of its name": (
        "import functools\n@functools.singledispatch\ndef area(s): return 0",
        "@area.register\ndef area(s: int): return s * s\nr = area(3)",
        "area",
        9,
    ),
    "a function whose default is the older one of its name": (
        "def f(x): return x",
        "def f(x, old=f): return old(x) + 1\nr = f(3)",
        "f",
        4,
    ),
    "a recursive function": ("fact = None", "def fact(n): return 1 if n < 2 else n * fact(n - 1)\nr = fact(4)", "", 24),
    "a function that sets a global": ("n = 1", "def inc():\n    global n\n    n += 1\ninc()\nr = n", "n", 2),
    "a function called before the name it reads is assigned": (
        "x = 1",
        "def f(): return x\nr = f()\nx = 5",
        "x",
        1,
    ),
    "nonlocal": (
        "n = 1",
        "def f():\n    n = 2\n    def g():\n        nonlocal n\n        n += 1\n    g()\n    return n\nr = f()",
        "",
        3,
    ),
    "two contexts, the second opened with the first": (
        "from contextlib import nullcontext; a = 1; b = 2; k = 3",
        "with nullcontext(k) as a, nullcontext(a) as b: r = b",
        "k nullcontext",
        3,
    ),
    "an async function": (
        "n = 2",
        "import asyncio\nasync def f(): return n\nr = asyncio.run(f())",
        "n",
        2,
    ),
    "a class may name itself in its methods": (
        "C = 5",
        "class C:\n    def again(self): return C()\nr = type(C().again()).__name__",
        "",
        "C",
    ),
    "a class's attributes hide globals in its body, not in its methods": (
        "n = 1",
        "class C:\n    n = 2\n    m = n\n    def get(self): return n\nr = C.m, C().get()",
        "n",
        (2, 1),
    ),
    "base, keyword and body of a class": (
        "class Base:\n    def __init_subclass__(cls, tag): cls.tag = tag\nT = 3\nN = 4",
        "class C(Base, tag=T):\n    size = N\nr = C.tag, C.size",
        "Base N T",
        (3, 4),
    ),
    "a class extends the older one of its name": (
        "class C:\n    a = 1",
        "class C(C):\n    b = 2\nr = C.a + C.b",
        "C",
        3,
    ),
    "defaults and decorators of methods belong to the class's body": (
        "n = 1; m = 5",
        "class C:\n    n = 2\n    def get(self, k=n, *, j=m): return k, j\nr = C().get()",
        "m",
        (2, 5),
    ),
    "a class in a class does not see the outer one's names": (
        "d = 'session'",
        "class A:\n    d = 'class'\n    class B:\n        e = d\nr = A.B.e",
        "d",
        "session",
    ),
    "a class in a class in a function": (
        "d = 'session'",
        "def f():\n    d = 'function'\n    class A:\n        d = 'class'\n        class B:\n            e = d\n    return A.B.e\nr = f()",
        "",
        "function",
    ),
    # imports
    "what the cell imports is its own": ("np = 1; os = 2", "import os, json as np\nr = np.dumps(1)", "", "1"),
    "import of a submodule binds the package": ("xml = 1", "import xml.dom\nr = xml.dom.__name__", "", "xml.dom"),
    "from … import … as": ("dump = 1", "from json import dumps as dump\nr = dump(1)", "", "1"),
    "import * binds what the module offers": ("sqrt = 1; x = 4.0", "from math import *\nr = sqrt(x)", "x", 2.0),
    "getattr by a name of the session": ("import math; which = 'sqrt'", "r = getattr(math, which)(4)", "math which", 2.0),
}


@pytest.mark.parametrize(("setup", "cell", "names", "r"), READS.values(), ids=READS)
def test_the_names_that_a_cell_reads(setup, cell, names, r):
    known = session(setup)
    needs = needed_names(cell, known.keys())
    assert sorted(needs.names) == names.split()
    assert needs.missing == []
    assert needs.warnings == []


@pytest.mark.parametrize(("setup", "cell", "names", "r"), READS.values(), ids=READS)
def test_a_cell_with_only_these_names_gives_the_same(setup, cell, names, r):
    known = session(setup)
    taken = {name: known[name] for name in needed_names(cell, known.keys()).names}
    exec(cell, taken)
    assert taken["r"] == r


def test_all_that_a_cell_may_bind_is_known():
    cell = """
import os.path, json as js
from math import pi
a, (b, *c) = 1, (2, 3)
for d in range(2): e = d
with open(f) as g: pass
def h():
    global i
    i = 1
class J: inner = 1
try: pass
except E as k: pass
[(m := n) for n in range(3)]
match a:
    case {"x": o, **p}: pass
"""
    assigned = needed_names(cell, {"f", "E"}).assigned
    assert assigned == {"os", "js", "pi", "a", "b", "c", "d", "e", "g", "h", "i", "J", "k", "m", "o", "p"}


def test_attribute_names_tell_which_submodules_are_meant():
    needs = needed_names("def f(): return xml.dom.minidom.parseString\nr = os.path.sep", {"xml", "os"})
    assert {"dom", "minidom", "parseString", "path", "sep"} <= needs.attributes


# ---------------------------------------------------------------- IPython

MAGICS = {
    "a line magic with $name": ("d = '/tmp'; e = 1", "%cd -q $d\nr = e", "d e"),
    "a line magic with {expression}": ("a = 1; b = [2]", "%env LEVEL={a + b[0]}", "a b"),
    "a command": ("a = 2; b = 3", "r = !echo {a + b} $a", "a b"),
    "a command without a result": ("path = 'x'", "!ls $path", "path"),
    "$$ is the shell's own": ("HOME = 1; x = 2", "!echo $$HOME $x", "x"),
    "a variable of the shell's environment": ("x = 2", "!echo $HOME $x", "x"),
    "an awk program is no expression": ("name = 'f'", "!awk '{print $1}' /dev/null", ""),
    "a format after an expression": ("v = 1.5", "!echo {v:.2f}", "v"),
    "braces of the shell": ("x = 2", "!mkdir -p out/{train,test} out/$x", "x"),
    "braces with what no expression knows": ("x = 2", "!echo {unknown} {x}", "x"),
    "an index in an expression": ("d = {'k': 1}; i = 'k'", "!echo {d[i]}", "d i"),
    "a method of a name": ("df = 'abc'", "!echo {df.upper()}", "df"),
    "braces of a command that stand for themselves": ("a = 1; b = 2", "!echo {{a}} {b}", "b"),
    "the cell's own name in a command": ("a = 2; b = 1", "a = b\n!echo $a {a}", "b"),
    "a command in a loop": ("names = ['a']; n = 0", "for n in names:\n    !echo $n", "names"),
    "a command in a function": ("where = '/'", "def f():\n    out = !ls $where\n    return out\nr = f()", "where"),
    "%time is code": ("x = 2; f = abs", "%time y = f(x)\nr = y", "f x"),
    "%time binds": ("y = 1; x = 2", "%time y = x\nr = y", "x"),
    "%timeit with its options": ("x = 2; f = abs", "%timeit -n 1 -r 1 f(x)", "f x"),
    "%timeit keeps its names to itself": ("y = 1; x = 2", "%timeit -n1 -r1 y = x\nr = y", "x y"),
    "%prun with its options": ("x = 2; f = abs", "%prun -q -l 5 f(x)", "f x"),
    "%%prun with an option that takes a word": ("x = 2; f = abs", "%%prun -q -s cumulative\nf(x)", "f x"),
    "a magic called by hand": ("where = '/'", "get_ipython().run_line_magic('cd', where)", "where"),
    "a command called by hand": ("n = 3", "r = get_ipython().getoutput(f'seq {n}')", "n"),
    "an expression given to the shell": ("a = 1; b = 2", "r = get_ipython().ev('a') + b", "a b"),
    "%%time is code": ("x = 2; y = 0; f = abs", "%%time\ny = f(x)\nr = y", "f x"),
    "%%timeit has a setup line": ("x = 2; f = abs", "%%timeit -n 1 v = f(x)\nv + x", "f x"),
    "%%capture binds its name": ("out = 1; x = 2", "%%capture out\nprint(x)", "x"),
    "%%capture with options": ("x = 2; out = 1; err = 1", "%%capture --no-stderr out\nr = x", "x"),
    "%%writefile is text": ("x = 2; name = 'f.py'", "%%writefile $name\nprint(x)", "name"),
    "%%bash is text": ("x = 2", "%%bash\necho $x", ""),
    "a magic's result": ("d = 1", "r = %pwd", ""),
    "help asks for a name": ("d = 1", "r = 1\n%config", ""),
}


@pytest.mark.parametrize(("setup", "cell", "names"), MAGICS.values(), ids=MAGICS)
def test_the_names_that_magics_and_commands_read(setup, cell, names):
    needs = needed_names(translated(cell), session(setup).keys())
    assert sorted({*needs.names, *needs.mentioned}) == names.split()
    assert needs.missing == []


def test_a_command_inside_timed_code_brings_what_it_mentions():
    """``%%time`` keeps its cell as text, and the text is no Python as long as a command stands in it."""
    needs = needed_names(translated("%%time\n!ls $where\nr = f(x)"), {"where", "f", "x", "unused"})
    assert {"where", "f", "x"} <= {*needs.names, *needs.mentioned}
    assert "unused" not in {*needs.names, *needs.mentioned}


def test_captured_output_may_be_read_afterwards():
    needs = needed_names(translated("%%capture out\nprint(1)"), set())
    assert "out" in needs.assigned


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("cp $source {target}", ["source", "target"]),
        ("echo {a if b else c}", ["a", "b", "c"]),
        ("echo {[v for v in vs]}", ["vs"]),
        ("echo $$a {{b}}", []),
        ("echo {", []),
        ("echo {1 +}", []),
        ("echo {x!r:>10}", ["x"]),
        ("plain", []),
    ],
    ids=["both", "conditional", "comprehension", "escaped", "unbalanced", "no expression", "conversion", "none"],
)
def test_expansions_in_a_line(line, names):
    assert sorted(expansion_names(line)) == names


# ---------------------------------------------------------------- real jobs

# Each story: the set-up, the cell, all that is captured, and what r is in the end.
THROUGH = {
    "functions need what their functions need": (
        "K = 2\ndef h(x): return x * K\ndef g(x): return h(x)\nunused = list(range(9))",
        "r = g(3)",
        "K g h",
        6,
    ),
    "an instance needs what its class's methods and their super need": (
        "Z = 1\nclass A:\n    def m(self): return Z\nclass B(A):\n    def m(self): return super().m() + 1\nb = B()\nother = 1",
        "r = b.m()",
        "Z b",
        2,
    ),
    "partial, wraps and closures": (
        """
        import functools
        K, E, other = 2, 1, 3
        def base(a, b): return a * b * K
        part = functools.partial(base, b=3)
        def plus(f):
            @functools.wraps(f)
            def wrapper(*a): return f(*a) + E
            return wrapper
        @plus
        def q(x): return part(x)
        """,
        "r = q(1)",
        "E K part q",
        7,
    ),
    "a function hidden in containers": (
        "K = 2\ndef f(): return K\nd = {'a': [{'x': (f,)}]}",
        "r = d['a'][0]['x'][0]()",
        "K d",
        2,
    ),
    "a function hidden in a library's object": (
        "from collections import defaultdict\nK = [7]\nd = defaultdict(lambda: K[0])",
        "r = d['q']",
        "K d",
        7,
    ),
    "a submodule as an attribute": (
        "import xml.dom.minidom\nimport os.path",
        "r = xml.dom.minidom.parseString('<a/>').documentElement.tagName",
        "xml",
        "a",
    ),
    "__setstate__ uses a global": (
        """
        import threading
        class R:
            def __init__(self): self.lock = threading.Lock()
            def __getstate__(self): return {}
            def __setstate__(self, state): self.lock = threading.Lock()
        obj = R()
        """,
        "r = obj.lock.locked()",
        "obj threading",
        False,
    ),
    "a class in a function, a comprehension in its method": (
        """
        K, v = 2, 9
        def make():
            class Local:
                v = K
                def m(self): return [K for _ in range(1)]
            return Local
        """,
        "r = make()().m()",
        "K make",
        [2],
    ),
    "annotations that are strings": (
        """
        from dataclasses import dataclass
        import typing
        class Q: pass
        @dataclass
        class D:
            a: "Q" = None
        """,
        "r = typing.get_type_hints(D)['a'].__name__",
        "D Q typing",
        "Q",
    ),
    "one list for a function, a dict and the cell": (
        "l = [1]\ndef f(): return l\nm = {'l': l}",
        "m['l'].append(2)\nr = f()",
        "f l m",
        [1, 2],
    ),
    "a string that has the name of a global": ("x = 1", "print('x')\nr = 1", "", 1),
    "a hint of a library's type and the session's": (
        "import typing as tp\nV = int",
        "x: tp.List[V] = []\nr = x",
        "V tp",
        [],
    ),
    "a line magic, a directory and a module of the cell": (
        "d = '/tmp'",
        "%cd -q $d\nimport os\nr = os.getcwd()",
        "d",
        "/tmp",
    ),
    "a command's output": ("a = 2; b = 3", "r = !echo {a + b} $a\nr = r[0]", "a b", "5 2"),
    "a variable of the shell's environment, which the session also has as a name": (
        "import os\nHOME, os.environ['HOME'] = 1, '/home/of/mine'",
        "r = !echo $$HOME\nr = r[0]",
        "",
        "/home/of/mine",
    ),
    "a decorator's registry": (
        "registry, unused = {}, 5\ndef register(f):\n    registry[f.__name__] = f\n    return f\n@register\ndef go(): return len(registry)",
        "@register\ndef more(): pass\nr = go()",
        "go register registry",
        2,
    ),
    "what a property, a static method and a default need": (
        """
        a, b, c, d = 1, 2, 3, 4
        class P:
            @property
            def x(self): return a
            @staticmethod
            def y(): return b
            def z(self, k=c): return k
        p = P()
        """,
        "r = p.x, p.y(), p.z()",
        "a b p",
        (1, 2, 3),
    ),
    "what a metaclass and a descriptor need": (
        """
        a, b, c = 1, 2, 3
        class Meta(type):
            def size(cls): return a
        class Field:
            def __get__(self, obj, owner): return b
        class C(metaclass=Meta): field = Field()
        """,
        "r = C.size(), C.field",
        "C a b",
        (1, 2),
    ),
    "a name that only a nested function of a function needs": (
        "deep, flat = 1, 2\ndef f():\n    def g():\n        return (lambda: [deep for _ in range(1)])()\n    return g",
        "r = f()()",
        "deep f",
        [1],
    ),
    "a function that sets a global which it does not read": (
        "state = None\ndef put(v):\n    global state\n    state = v\ndef get(): return state",
        "put(3)\nr = get()",
        "get put state",
        3,
    ),
    "names of a sort's key, a map, a thread's target": (
        "import threading\nw = {'a': 2, 'b': 1}\ndef key(x): return w[x]\nunused = 0",
        "r = sorted('ab', key=key)\nt = threading.Thread(target=key, args='a')\nt.start(); t.join()",
        "key threading w",
        ["b", "a"],
    ),
    "a cell of many lines that needs one name": (
        "n, other = 3, 4",
        """
        import math
        def area(r): return math.pi * r**2
        class Box:
            sides = [1, 2]
            def total(self): return sum(self.sides) * n
        results = {}
        for k in range(2):
            with open("/dev/null") as file: results[k] = file.read()
        try: value = Box().total()
        except ValueError as error: value = error
        r = value, len(results)
        """,
        "n",
        (9, 2),
    ),
}

# What no analysis can follow: the submission says so.
UNSEEN = {
    "eval of a string of the session": ("a = 1; s = 'a'", "r = eval(s)", "s"),
    "globals() by a constant key": ("a = 1", "r = globals()['a']", ""),
    "a format of all globals": ("a = 1", "r = '{a}'.format(**globals())", ""),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What became of each story as a job."""
    stories = {name: story[:2] for table in (READS, MAGICS, THROUGH, UNSEEN) for name, story in table.items()}
    assert len(stories) == sum(map(len, (READS, MAGICS, THROUGH, UNSEEN)))
    return play(stories, tmp_path_factory.mktemp("stories"))


@pytest.mark.parametrize("story", [*READS, *THROUGH])
def test_a_job_gets_these_names_and_gives_the_same(answers, story):
    *_, names, r = {**READS, **THROUGH}[story]
    answer = answers[story]
    assert answer.failure == ""
    assert sorted(answer.names) == names.split()
    assert answer.variables["r"] == repr(r)
    assert answer.warnings == []


@pytest.mark.parametrize("story", MAGICS)
def test_a_job_gets_what_its_magics_and_commands_read(answers, story):
    assert answers[story].failure == ""
    assert sorted(answers[story].names) == MAGICS[story][2].split()


@pytest.mark.parametrize("story", UNSEEN)
def test_a_submission_tells_what_it_cannot_follow(answers, story):
    answer = answers[story]
    assert set(answer.names) >= set(UNSEEN[story][2].split())
    assert len(answer.warnings) == 1
    assert f"note: {answer.warnings[0]}" in answer.printed
    assert "--with" in answer.printed


# ---------------------------------------------------------------- names in strings

MENTIONS = {
    "eval of a constant": ("a b other", "r = eval('a + b')", "a b"),
    "exec of a constant": ("a other", "exec('r = a')", "a"),
    "a query": ("df limit other", "r = df.query('x > @limit')", "limit"),
    "a query by keyword": ("df limit other", "r = df.query(expr='x > @limit')", "limit"),
    "a query in an f-string": ("df limit col other", "r = df.query(f'{col} > @limit')", "limit"),
    "numexpr": ("ne a b other", "r = ne.evaluate('a * b')", "a b"),
    "a formula": ("smf df knots other", "r = smf.ols('y ~ bs(x, knots)', df)", "knots"),
    "in a function": ("df limit other", "def f(): return df.query('x > @limit')\nr = f()", "limit"),
    "in a class": ("a other", "class C:\n    v = eval('a')\nr = C.v", "a"),
    "assigned by the cell before": ("a b", "a = 1\nr = eval('a + b')", "b"),
    "a string annotation of a function": ("Later other", "def f(x: 'Later'): return x\nr = f", "Later"),
    "a string annotation of a dataclass's field": (
        "Later dataclass other",
        "@dataclass\nclass D:\n    child: 'Later | None' = None\nr = D()",
        "Later",
    ),
}


@pytest.mark.parametrize(("known", "cell", "mentioned"), MENTIONS.values(), ids=MENTIONS)
def test_names_in_strings_that_are_code_come_along(known, cell, mentioned):
    needs = needed_names(cell, known.split())
    assert sorted(needs.mentioned) == mentioned.split()
    assert "other" not in needs.names
    assert needs.warnings == []


@pytest.mark.parametrize(
    "cell",
    [
        "r = eval(text)",
        "exec(text)",
        "r = globals()['a']",
        "r = '{a}'.format(**globals())",
        "r = '{a}'.format(**vars())",
        "def f(): return globals()[text]",
        "x = 1\nclass C:\n    v = eval(text)",
    ],
)
def test_access_that_cannot_be_followed_is_told_with_its_line(cell):
    (warning,) = needed_names(cell, {"text", "a"}).warnings
    line = 1 + next(i for i, each in enumerate(cell.splitlines()) if "eval(" in each or "exec(" in each or "s()" in each)
    assert warning.startswith(f"line {line}:")
    assert "--with" in warning


def test_vars_of_an_object_is_no_access_to_globals():
    assert needed_names("r = vars(box)", {"box"}).warnings == []


# ---------------------------------------------------------------- names that do not exist

MISSING = {
    "a name that nobody defined": ("", "r = undefined + 1", "undefined"),
    "a typo in a function": ("frame", "def f(): return frmae\nr = f()", "frmae"),
    "a name that the cell assigns later, in a function": ("", "def f(): return later\nlater = 1\nr = f()", ""),
    "a name that a NameError guards": ("", "try: cache\nexcept NameError: cache = {}\nr = cache", ""),
    "a guard that assigns nothing": ("", "try: display_hook()\nexcept NameError: pass", ""),
    "a bare except": ("", "try: profile\nexcept: pass", ""),
    "another exception guards nothing": ("", "try: undefined\nexcept KeyError: pass", "undefined"),
    "a builtin": ("", "r = len([])", ""),
    "what every worker has": ("", "display(1)\nr = __name__\nget_ipython()", ""),
    "import * of a module that is loaded": ("", "from math import *\nr = sqrt(undefined)", "undefined"),
    "names that %run may bind": ("", "get_ipython().run_line_magic('run', 'script.py')\nr = made_by_script", ""),
    "a name that is asked for before": ("", "if 'debug' in globals(): print(debug)", ""),
    "a NameError that a function catches": (
        "",
        "def f():\n    try: return cache\n    except NameError: return None\nr = f()",
        "",
    ),
    "names that exec may bind": ("code", "exec(code)\nr = made_by_code", ""),
    "two of them": ("", "r = one + two", "one two"),
}


@pytest.mark.parametrize(("known", "cell", "missing"), MISSING.values(), ids=MISSING)
def test_names_that_do_not_exist(known, cell, missing):
    assert needed_names(cell, known.split()).missing == missing.split()


def test_import_star_of_a_module_that_is_not_loaded_may_bind_anything():
    needs = needed_names("x = 1\nfrom module_not_loaded_here import *\nr = whatever", set())
    assert needs.missing == []
    (warning,) = needs.warnings
    assert warning.startswith("line 2:")
    assert "module_not_loaded_here" in warning


def test_a_cell_that_is_no_python_is_refused():
    with pytest.raises(SyntaxError):
        needed_names("for x in", set())


# ---------------------------------------------------------------- any program

VARIABLES = ("a", "b", "c", "d")


class Programs:
    """Writes small programs over a few names; what they do is noted in a list called trace."""

    def __init__(self, random):
        self.random = random
        self.loops = 0

    def name(self):
        return self.random.choice(VARIABLES)

    def value(self, depth=0):
        kind = self.random.randrange(9 if depth < 2 else 3)
        if kind < 2:
            return self.name()
        if kind == 2:
            return str(self.random.randrange(4))
        left, right = self.value(depth + 1), self.value(depth + 1)
        return [
            f"({left} + {right})",
            f"({left} if {right} % 2 else {self.name()})",
            f"sum({self.name()} for {self.name()} in range({left} % 3))",
            f"(lambda {self.name()}: {left})({right})",
            f"({self.name()} := {left})",
            f"({left} and {right})",
        ][kind - 3]

    def block(self, depth):
        lines = [line for _ in range(self.random.randint(1, 3)) for line in self.statement(depth + 1)]
        return ["    " + line for line in lines]

    def statement(self, depth=0):
        kind = self.random.randrange(16 if depth < 3 else 6)
        name = self.name()
        if kind < 3:
            return [f"{name} = {self.value()}"]
        if kind == 3:
            return [f"{name} += {self.value()}"]
        if kind == 4:
            return [f"trace.append({self.value()})"]
        if kind == 5:
            return [self.random.choice([f"del {name}", f"trace.append({name})"])]
        if kind in (6, 7):
            lines = [f"if {self.value()} % 2:", *self.block(depth)]
            return lines + (["else:", *self.block(depth)] if self.random.random() < 0.5 else [])
        if kind in (8, 9):
            ending = self.random.choice([[], [f"    if {self.value()} % 2: break"], ["    break"], ["    continue"]])
            other = ["else:", *self.block(depth)] if self.random.random() < 0.3 else []
            return [f"for {name} in range({self.value()} % 3):", *self.block(depth), *ending, *other]
        if kind == 10:
            self.loops += 1
            turn = f"turn{self.loops}"
            return [
                f"{turn} = 0",
                "while True:",
                f"    {turn} += 1",
                f"    if {turn} > {self.random.randrange(3)}: break",
                *self.block(depth),
            ]
        if kind in (11, 12):
            wrong = self.random.choice([["    1 / 0"], [f"    if {self.value()} % 2: raise KeyError"], []])
            handler = f"except Exception as {name}:" if self.random.random() < 0.3 else "except Exception:"
            lines = ["try:", *self.block(depth), *wrong, *self.block(depth), handler, *self.block(depth)]
            if self.random.random() < 0.3:
                lines += ["else:", *self.block(depth)]
            if self.random.random() < 0.3:
                lines += ["finally:", *self.block(depth)]
            return lines
        if kind == 13:
            lines = [f"    global {', '.join(VARIABLES[:2])}", *self.block(depth)]
            return [f"def function{depth}():", *lines, f"function{depth}()"]
        if kind == 14:
            return [f"class Class{depth}:", *self.block(depth), f"    def method(self): return {self.value()}"]
        return [
            f"match {self.value()} % 3:",
            f"    case 0 if {self.value()} % 2:",
            *("    " + line for line in self.block(depth)),
            self.random.choice([f"    case {name}:", "    case 1:", "    case _:"]),
            *("    " + line for line in self.block(depth)),
        ]

    def program(self, statements):
        return "\n".join(line for _ in range(statements) for line in self.statement())


def ended(cell, namespace):
    """How the cell ended, what it traced, and what it left, as text (an exception equals no other)."""
    namespace = {**namespace, "trace": [], "__builtins__": builtins}
    error = None
    try:
        exec(compile(cell, "<cell>", "exec"), namespace)
    except Exception as raised:  # noqa: BLE001  how it ends is what is compared
        error = type(raised), str(raised)
    return error, repr(namespace["trace"]), {name: repr(namespace[name]) for name in VARIABLES if name in namespace}


@settings(max_examples=400)
@given(seed=st.integers(0, 1 << 32), length=st.integers(1, 5), values=st.tuples(*(st.integers(0, 3) for _ in VARIABLES)))
def test_no_program_can_tell_that_the_other_names_stayed_at_home(seed, length, values):
    cell = Programs(random.Random(seed)).program(length)
    note(cell)
    full = dict(zip(VARIABLES, values, strict=True))
    needed = needed_names(cell, {*full, "trace"}).names
    error, trace, left = ended(cell, full)
    job_error, job_trace, job_left = ended(cell, {name: full[name] for name in needed if name in full})
    assert (job_error, job_trace) == (error, trace)
    changed = {name: value for name, value in left.items() if value != repr(full[name])}
    assert job_left.items() <= left.items()
    assert changed.items() <= job_left.items()


@st.composite
def straight_lines(draw):
    """Assignments, one below the other."""
    name = st.sampled_from(VARIABLES)
    line = st.one_of(
        st.tuples(name, name, name).map("{0[0]} = {0[1]} + {0[2]}".format),
        st.tuples(name, name).map("{0[0]} += {0[1]}".format),
        st.tuples(name, name).map("{0[0]} = {0[1]}; del {0[0]}; {0[0]} = 1".format),
        st.tuples(name, name, name).map("{0[0]} = ({0[1]} := {0[2]}) + {0[1]}".format),
        name.map("{} = 1".format),
    )
    return "\n".join(draw(st.lists(line, min_size=1, max_size=6)))


class Witness(dict):
    """A namespace that notes which names are read before they are bound."""

    def __init__(self, values):
        super().__init__()
        self.values_at_home, self.read = values, set()

    def __missing__(self, name):
        self.read.add(name)
        return self.values_at_home[name]

    def __delitem__(self, name):
        if name in self:
            super().__delitem__(name)


@settings(max_examples=150)
@given(cell=straight_lines())
def test_straight_lines_need_exactly_what_they_read(cell):
    witness = Witness(dict.fromkeys(VARIABLES, 1))
    exec(cell, {}, witness)
    assert set(needed_names(cell, VARIABLES).names) == witness.read
