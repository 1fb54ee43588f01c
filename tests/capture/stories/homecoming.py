"""What a job brings back, seen by the session that submitted it, as ``back``.

Each story: the set-up, the cell, and what the session checks when it has fetched.
"""

HOMECOMING = {
    "functions and closures of the cell": (
        "K = 2",
        "def f(x): return x * K\ndef make(n):\n    def up():\n        nonlocal n\n        n += 1\n        return n\n    return up\nup = make(5)\nup()\nf, up",
        "f, up = back\nassert f(3) == 6 and up() == 7\nK = 10\nassert f(3) == 30",
    ),
    "a class of the cell, with its instance and an enum": (
        "base = 1",
        """
        import enum
        from dataclasses import dataclass
        class E(enum.Enum):
            A = 1
        @dataclass
        class D:
            e: E
            def get(self): return base
        D(E.A), E, D
        """,
        "d, E, D = back\nassert type(d) is D and d.e is E.A and d.get() == 1 and d == D(E.A)",
    ),
    "the session's objects are not replaced by what comes back": (
        "data = [1, 2]\nclass P: pass\np = P()\np.data = data",
        "data.append(3)\np.tag = 't'\n[p, data, p.data is data]",
        "q, more, same = back\nassert same and type(q) is P and q is not p and data == [1, 2] and more == [1, 2, 3] and q.data is more",
    ),
    "identity within the result": (
        "",
        "a = [1]\nd = {'a': a}\na.append(d)\n[a, d, (a, a)]",
        "a, d, pair = back\nassert d['a'] is a is pair[0] is pair[1] and a[1] is d",
    ),
    "an exception of the session": (
        "class Broken(Exception):\n    def __init__(self, code): super().__init__(code); self.code = code",
        "found = Broken(3)\nfound.__notes__ = ['n']\nfound",
        "assert type(back) is Broken and back.code == 3 and back.__notes__ == ['n']",
    ),
    "arrays, frames, scalars": (
        "import numpy as np\nimport pandas as pd",
        "np.arange(100_000.0), np.float32(2), np.ma.masked_equal([1, 2], 2), pd.DataFrame({'a': pd.Categorical(['x', 'y'])}), np.array([(1, 2.0)], dtype=[('a', int), ('b', float)])",
        "big, one, masked, frame, table = back\nbig[0] = 5\nassert big[0] == 5 and type(one) is np.float32 and masked.sum() == 1 and frame['a'].cat.categories.tolist() == ['x', 'y'] and table['b'][0] == 2",
    ),
    "an estimator that was fitted": (
        "import numpy as np\nfrom sklearn.base import BaseEstimator\nclass Mean(BaseEstimator):\n    def __init__(self, k=1): self.k = k\n    def fit(self, X):\n        self.mean_ = X.mean() * self.k\n        return self",
        "Mean(2).fit(np.arange(4.0))",
        "assert type(back) is Mean and back.mean_ == 3.0 and back.get_params() == {'k': 2}",
    ),
    "the session's functions by identity or at least by what they do": (
        "K = 1\ndef f(): return K\ntable = {'f': f}",
        "table['g'] = f\ntable",
        "K = 5\nassert back['f'] is back['g'] and back['f']() == 5",
    ),
    "a module, a type variable, a lock, streams": (
        "from typing import Generic, TypeVar\nimport json, sys, threading\nT = TypeVar('T')\nclass Box(Generic[T]):\n    def __init__(self, v): self.v = v",
        "import sys\nBox[int](1), json, threading.Lock(), sys.stdout, int, len",
        "box, mod, lock, out, kind, function = back\nassert type(box) is Box and box.__orig_class__ == Box[int] and mod is json and lock.acquire(False) and out is sys.stdout and kind is int and function is len",
    ),
    "a frozen dataclass with slots, a named tuple, a typed dict, a flag": (
        "import enum\nfrom dataclasses import dataclass\nfrom typing import NamedTuple\n@dataclass(frozen=True, slots=True)\nclass S:\n    x: int\nclass N(NamedTuple):\n    y: int\nclass F(enum.Flag):\n    A = 1\n    B = 2",
        "{S(1): N(2)}, F.A | F.B",
        "table, both = back\nassert table == {S(1): N(2)} and type(next(iter(table))) is S and type(table[S(1)]) is N and both is F.A | F.B",
    ),
    "deep data": (
        "",
        "deep = None\nfor _ in range(5000): deep = [deep]\ndeep",
        "n = 0\nwhile back: back, n = back[0], n + 1\nassert n == 5000",
    ),
    "generics of new kinds": (
        "class A: pass",
        "list[A], dict[str, A] | None, A",
        "assert back[0] == list[A] and back[1] == (dict[str, A] | None) and back[2] is A",
    ),
    "a partial and a bound method of the session": (
        "import functools\nclass C:\n    def __init__(self, n): self.n = n\n    def get(self, k): return self.n + k\nc = C(1)",
        "functools.partial(c.get, 2), c.get",
        "part, get = back\nassert part() == 3 and get(1) == 2 and type(get.__self__) is C",
    ),
    "a subclass that the cell made of the session's class": (
        "class A:\n    def f(self): return 1",
        "class B(A):\n    def f(self): return super().f() + 1\nB()",
        "assert back.f() == 2 and isinstance(back, A) and type(back).__mro__[1] is A",
    ),
    "a class of the session that the job changed": (
        "class A:\n    n = 1",
        "A.n = 5\nA.more = lambda self: 2\nA()",
        "assert type(back) is A and A.n == 1",
    ),
    "weak references within the result": (
        "import weakref",
        "class X: pass\nx = X()\n[x, weakref.ref(x), weakref.WeakValueDictionary(a=x)]",
        "x, r, d = back\nassert r() is x and d['a'] is x",
    ),
    "an iterator that stands where the job left it": (
        "",
        "import itertools\nit = iter([1, 2, 3])\nnext(it)\nn = itertools.count(5)\nnext(n)\nit, n",
        "it, n = back\nassert list(it) == [2, 3] and next(n) == 6",
    ),
    "a logger and the environment": (
        "",
        "import logging, os\nlogging.getLogger('x.y'), os.environ",
        "import logging, os\nassert back[0] is logging.getLogger('x.y') and back[1] is os.environ",
    ),
    "globals and the module": (
        "X = 1",
        "import sys\nX\n{'g': globals(), 'm': sys.modules['__main__']}",
        "import sys\nassert back['g'] is globals() and back['m'] is sys.modules['__main__'] and X == 1",
    ),
    "the shell": ("", "get_ipython()", "assert back is get_ipython()"),
    "a lambda that calls a function of the cell": (
        "",
        "def inner(x): return x + 1\nlambda x: inner(x) * 2",
        "assert back(1) == 4",
    ),
    "a recursive function of the cell": (
        "",
        "def fact(n): return 1 if n < 2 else n * fact(n - 1)\nfact",
        "assert back(5) == 120",
    ),
    "a function whose helper has the name of something else in the session": (
        "helper = 'mine'",
        "def helper(): return 'job'\ndef f(): return helper()\nf",
        "assert helper == 'mine'",
    ),
    # what the cell gave
    "the value of functions with their globals": (
        """
        K = 3
        def f(x): return g(x) * K
        def g(x): return x + 1
        """,
        "f(1)",
        "assert back == 6",
    ),
    "a global that the cell changed for the session's functions": (
        """
        n = 1
        def double():
            global n
            n *= 2
        """,
        "n = 10\ndouble()\nn",
        "assert back == 20 and n == 1",
    ),
    "what methods and super gave": (
        """
        class A:
            def __init__(self, v): self.v = v
            def get(self): return self.v
        class B(A):
            def get(self): return super().get() + 1
        items = [B(1), B(2)]
        """,
        "[b.get() for b in items] + [isinstance(items[0], B), type(items[0]) is B]",
        "assert back == [2, 3, True, True]",
    ),
    "arrays, one of them changed in the job": (
        """
        import numpy as np
        big = np.arange(1_000_000.0)
        small = np.ones(3)
        view = {"same": big}
        """,
        "big[:10] = 0\nbig.sum(), small.tolist(), view['same'] is big",
        "assert back == (499999499955.0, [1.0, 1.0, 1.0], True) and big[9] == 9",
    ),
    "what imported modules gave": (
        """
        import json as js
        import xml.dom.minidom
        """,
        "js.dumps(xml.dom.minidom.parseString('<a/>').documentElement.tagName)",
        "assert back == '\"a\"'",
    ),
    "what a file of functions beside the notebook gave": (
        """
        import sys
        sys.path.insert(0, "{scratch}/local")
        import helpers
        from helpers import shout
        """,
        "shout('a'), helpers.__file__.endswith('helpers.py')",
        "assert back == ('A!', True)",
    ),
    "what a top-level await gave": ("base = 2\nasync def later(x): return x + base", "await later(1)", "assert back == 3"),
    "what was found in the globals as a whole": (
        "X = 1\ndef read(name): return globals()[name]",
        "Y = 5\nread('Y'), globals()['X'] if X else None",
        "assert back == (5, 1)",
    ),
    "a caught exception with its cause": (
        "",
        """
        class H(Exception):
            def __init__(self, a, b): super().__init__(f"{a} {b}"); self.a = a
        try:
            try: 1 / 0
            except ZeroDivisionError as inner: raise H(1, 2) from inner
        except H as error: kept = error
        kept
        """,
        "assert back.a == 1 and back.args == ('1 2',) and type(back.__cause__) is ZeroDivisionError and back.__suppress_context__",
    ),
}
