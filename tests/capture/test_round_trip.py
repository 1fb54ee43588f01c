"""What a session holds arrives in the job as it was.

Each story has a set-up, executed in a session, and a check, captured there and executed in another process that has
nothing but the capture. Most are done in one batch (see `two_processes`); the most important kinds run as real jobs.
"""

import __future__

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from persist_magic import load, persist
from persist_magic.capture.cell import Selection, Source
from persist_magic.errors import JobExists, JobFailed, MissingNames, Unpicklable
from persist_magic.job import jobs, preview, submit

SURVIVES = {
    # ---- functions
    "a function sees a global of the session, and rebinds see it too": (
        """
        K = 3
        def f(x): return x * K
        """,
        """
        assert f(2) == 6
        K = 5
        assert f(2) == 10
        """,
    ),
    "a function sets a global": (
        """
        n = 0
        def count():
            global n
            n += 1
        """,
        """
        count(); count()
        assert n == 2
        """,
    ),
    "a lambda with a default": ("add = lambda x, y=2: x + y", "assert add(1) == 3"),
    "keyword-only defaults, annotations, attributes and the docstring of a function": (
        """
        def f(a, *, b=2) -> int:
            "Adds."
            return a + b
        f.unit = "m"
        """,
        """
        assert f(1) == 3 and f.unit == "m" and f.__doc__ == "Adds." and f.__annotations__ == {"return": int}
        assert f.__name__ == f.__qualname__ == "f" and f.__module__ == "__main__"
        """,
    ),
    "a recursive function": ("def fact(n): return 1 if n < 2 else n * fact(n - 1)", "assert fact(5) == 120"),
    "functions that call each other": (
        """
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
        """,
        "assert even(10) and not even(7)",
    ),
    "closures that call each other": (
        """
        def make():
            def even(n): return n == 0 or odd(n - 1)
            def odd(n): return n != 0 and even(n - 1)
            return even, odd
        even, odd = make()
        """,
        "assert even(4) and not odd(4)",
    ),
    "closures share a variable": (
        """
        def counter():
            n = 0
            def up():
                nonlocal n
                n += 1
            return up, lambda: n
        up, value = counter()
        up()
        """,
        """
        up()
        assert value() == 2
        """,
    ),
    "a closure's variable that is not bound yet": (
        """
        def make():
            def f(): return late
            if False: late = 1
            return f
        f = make()
        """,
        """
        try: f()
        except NameError: pass
        else: raise AssertionError
        """,
    ),
    "a decorated function": (
        """
        import functools
        factor = 3
        def scaled(f):
            @functools.wraps(f)
            def wrapper(*a): return factor * f(*a)
            return wrapper
        @scaled
        def one(x): return x
        """,
        "assert one(2) == 6 and one.__name__ == 'one' and one.__wrapped__(2) == 2",
    ),
    "functions deep in containers and library objects": (
        """
        from collections import defaultdict
        import functools
        seven = [7]
        def get(k, d=0): return seven[k] + d
        nested = {"a": [{"x": (get,)}]}
        lazy = defaultdict(lambda: get(0))
        part = functools.partial(get, d=1)
        """,
        """
        assert nested["a"][0]["x"][0](0) == 7 and lazy["q"] == 7 and part(0) == 8
        assert part.func is nested["a"][0]["x"][0]
        """,
    ),
    "a name that a function gives to eval": (
        """
        K = 3
        def f(): return eval("K + 1")
        """,
        "assert f() == 4",
    ),
    "a generator function, a coroutine function and a context manager": (
        """
        from contextlib import contextmanager
        base = 4
        def count():
            yield base
            yield base + 1
        async def later(x): return x + base
        @contextmanager
        def opened():
            yield base
        """,
        """
        import asyncio
        assert list(count()) == [4, 5] and asyncio.run(later(1)) == 5
        with opened() as value: assert value == 4
        """,
    ),
    "lru_cache": (
        """
        from functools import lru_cache
        @lru_cache(maxsize=8)
        def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
        fib(10)
        """,
        "assert fib(10) == 55 and fib.cache_parameters()['maxsize'] == 8",
    ),
    "singledispatch": (
        """
        from functools import singledispatch
        class Square: side = 2
        @singledispatch
        def area(shape): return 0
        @area.register
        def _(shape: Square): return shape.side ** 2
        @area.register(int)
        def _(shape): return shape
        """,
        "assert area(Square()) == 4 and area(3) == 3 and area('x') == 0",
    ),
    "functions that an exec or %run made in a namespace of their own": (
        """
        own = {"__name__": "__main__"}
        exec("base = 10\\nunused = open('/dev/null')\\ndef f(x): return g(x) + base\\ndef g(x): return 2 * x", own)
        f = own["f"]
        base = -1
        """,
        "assert f(1) == 12 and base == -1",
    ),
    "the source of a function, for inspect and tracebacks": (
        """
        def broken():
            raise ValueError("here")
        """,
        """
        import inspect, traceback
        assert inspect.getsource(broken) == 'def broken():\\n    raise ValueError("here")\\n'
        try: broken()
        except ValueError: assert 'raise ValueError("here")' in traceback.format_exc()
        """,
    ),
    "a code object": ("code = compile('z = 1 + 1', '<s>', 'exec')", "names = {}\nexec(code, names)\nassert names['z'] == 2"),
    # ---- identity
    "one list under many names": (
        """
        a = [1]
        b = a
        c = {"a": a}
        def get(): return a
        """,
        "assert b is a and c['a'] is a and get() is a",
    ),
    "a list in itself": ("loop = [1]\nloop.append(loop)", "assert loop[1] is loop and loop[0] == 1"),
    "a sentinel that is a default": (
        """
        nothing = object()
        def given(x=nothing): return x is not nothing
        """,
        "assert not given() and given(1)",
    ),
    "globals() of the session are the job's globals": ("X = 1\nG = globals()", "assert G is globals() and G['X'] is X"),
    "the session's module is the job's": (
        """
        import __main__ as session
        X = 1
        def f(): return session.X
        """,
        """
        import sys
        X = X + 1
        assert session is sys.modules["__main__"] and f() == 2
        """,
    ),
    # ---- classes
    "super and the order of bases": (
        """
        class A:
            def __init__(self): self.v = 1
            def go(self): return 1
        class B(A):
            def __init__(self):
                super().__init__()
                self.w = 2
            def go(self): return super().go() + 1
        b = B()
        """,
        """
        assert b.go() == 2 and type(b) is B and B().go() == 2 and B.__mro__[1] is A and (b.v, b.w) == (1, 2)
        """,
    ),
    "a class whose base is not named by the cell": (
        """
        Z = 1
        class Base:
            def m(self): return Z
        class Child(Base):
            def m(self): return super().m() + 1
        child = Child()
        """,
        "assert child.m() == 2",
    ),
    "classes that name each other": (
        """
        class A:
            def b(self): return B()
        class B:
            def a(self): return A()
        A.other, B.other = B, A
        a = A()
        """,
        "assert type(a.b()) is A.other and type(a.b().a()) is A and A.other.other is A and type(a) is A",
    ),
    "objects that hold each other in sets and dicts": (
        """
        class Node:
            def __init__(self): self.peers, self.by_node, self.me = set(), {}, self
        a, b = Node(), Node()
        a.peers.add(b)
        b.peers.update([a, b])
        a.by_node[b] = a
        """,
        "assert a.peers == {b} and b.peers == {a, b} and a.by_node[b] is a is a.me",
    ),
    "a class attribute that is an instance of the class": (
        """
        class Node:
            def __init__(self, name): self.name = name
        Node.root = Node("root")
        """,
        "assert type(Node.root) is Node and Node.root.name == 'root'",
    ),
    "__init_subclass__ is not called twice, keywords are not asked for again": (
        """
        class Base:
            kids = []
            def __init_subclass__(cls, *, tag, **rest):
                super().__init_subclass__(**rest)
                cls.tag = tag
                Base.kids.append(cls)
        class P(Base, tag="p"): pass
        class Q(Base, tag="q"): pass
        """,
        """
        assert Base.kids == [P, Q] and [c.tag for c in Base.kids] == ["p", "q"]
        class R(Base, tag="r"): pass
        assert Base.kids[2] is R
        """,
    ),
    "__set_name__ and a descriptor": (
        """
        class Field:
            def __set_name__(self, owner, name): self.name = name
            def __get__(self, obj, owner): return self if obj is None else obj.__dict__.get(self.name, 0)
            def __set__(self, obj, value): obj.__dict__[self.name] = value + 1
        class X:
            f = Field()
        x = X()
        x.f = 1
        """,
        """
        assert x.f == 2 and X.f.name == "f"
        x.f = 5
        assert x.f == 6
        """,
    ),
    "properties, class methods, static methods": (
        """
        def times(k):
            return property(lambda self: self.v * k)
        half = 0.5
        class X:
            p = times(3)
            def __init__(self): self.v = 2
            @property
            def q(self):
                "Half."
                return self.v * half
            @q.setter
            def q(self, value): self.v = value / half
            @classmethod
            def make(cls): return cls()
            @staticmethod
            def two(): return 2
        x = X()
        """,
        """
        assert x.p == 6 and x.q == 1.0 and type(X.make()) is X and X.two() == 2 and X.q.__doc__ == "Half."
        x.q = 4
        assert x.v == 8
        """,
    ),
    "a bound method and its object": (
        """
        class X:
            v = 1
            def m(self): return self.v
        x = X()
        m = x.m
        """,
        """
        x.v = 2
        assert m.__self__ is x and m() == 2
        """,
    ),
    "a callable instance": (
        """
        K = 4
        class F:
            def __call__(self, x): return x + K
        f = F()
        """,
        "assert f(1) == 5",
    ),
    "a dataclass": (
        """
        from dataclasses import dataclass, field
        @dataclass(order=True)
        class D:
            a: int
            b: list = field(default_factory=list)
        d = D(1)
        """,
        """
        import dataclasses
        assert d == D(1) and D(1, [2]).b == [2] and repr(d) == "D(a=1, b=[])" and d < D(2)
        assert dataclasses.asdict(d) == {"a": 1, "b": []} and dataclasses.replace(d, a=2).a == 2
        """,
    ),
    "a frozen dataclass with slots": (
        """
        from dataclasses import dataclass
        @dataclass(frozen=True, slots=True)
        class P:
            x: int
            y: int = 2
        p = P(1)
        places = {p: "here"}
        """,
        """
        assert places[P(1)] == "here" and (p.x, p.y) == (1, 2) and not hasattr(p, "__dict__")
        try: p.x = 3
        except AttributeError: pass
        else: raise AssertionError
        """,
    ),
    "slots, also private ones": (
        """
        class S:
            __slots__ = ("a", "__p", "__weakref__")
            def __init__(self): self.a, self.__p = 1, 2
            def p(self): return self.__p
        s = S()
        """,
        """
        import weakref
        assert (s.a, s.p()) == (1, 2) and not hasattr(s, "__dict__") and weakref.ref(s)() is s
        S().a = 3
        """,
    ),
    "an Enum": (
        """
        import enum
        class Color(enum.Enum):
            RED = 1
            BLUE = 2
            AZURE = 2
            def twice(self): return self.value * 2
        c = Color.BLUE
        """,
        """
        assert c is Color.BLUE is Color(2) is Color["AZURE"] and c.twice() == 4 and list(Color) == [Color.RED, Color.BLUE]
        """,
    ),
    "an Enum whose members have attributes": (
        """
        import enum
        class Planet(enum.Enum):
            EARTH = (5.97, "blue")
            MARS = (0.64, "red")
            def __init__(self, mass, color): self.mass, self.color = mass, color
        p = Planet.MARS
        """,
        "assert p is Planet.MARS is Planet((0.64, 'red')) and p.color == 'red' and Planet.EARTH.mass == 5.97",
    ),
    "an Enum with a __new__ and a data type": (
        """
        import enum
        class Code(bytes, enum.Enum):
            def __new__(cls, value, label):
                made = bytes.__new__(cls, [value])
                made._value_, made.label = value, label
                return made
            A = (1, "x")
        a = Code.A
        """,
        "assert a is Code.A is Code(1) and a.label == 'x' and a == b'\\x01'",
    ),
    "IntEnum, IntFlag and auto": (
        """
        import enum
        class Level(enum.IntEnum):
            LOW = 1
            HIGH = 9
        class Mode(enum.IntFlag):
            R = enum.auto()
            W = enum.auto()
        low, both = Level.LOW, Mode.R | Mode.W
        """,
        """
        assert low is Level.LOW and low + 1 == 2 and Level(9) is Level.HIGH
        assert both == Mode.R | Mode.W and Mode.W in both and isinstance(both, Mode) and int(both) == 3
        """,
    ),
    "a NamedTuple with a method": (
        """
        from typing import NamedTuple
        from collections import namedtuple
        class P(NamedTuple):
            x: int
            y: int = 2
            def total(self): return self.x + self.y
        p = P(1)
        Q = namedtuple("Q", "a b", defaults=[5])
        q = Q(1)
        """,
        """
        assert p.total() == 3 and type(p) is P and P.__annotations__["x"] is int and p._replace(x=2).total() == 4
        assert q == Q(1, 5) and q.b == 5 and Q._fields == ("a", "b")
        """,
    ),
    "an abstract class and what is registered with it": (
        """
        import abc
        class Shape(abc.ABC):
            @abc.abstractmethod
            def area(self): ...
        class Square(Shape):
            def area(self): return 4
        @Shape.register
        class Foreign: pass
        s = Square()
        """,
        """
        assert s.area() == 4 and isinstance(s, Shape) and issubclass(Foreign, Shape)
        try: Shape()
        except TypeError: pass
        else: raise AssertionError("it was abstract")
        """,
    ),
    "a metaclass": (
        """
        class Registry(type):
            names = []
            def __new__(meta, name, bases, namespace):
                Registry.names.append(name)
                return super().__new__(meta, name, bases, namespace)
            def __call__(cls, *a):
                made = super().__call__(*a)
                made.stamp = 1
                return made
        class X(metaclass=Registry): pass
        x = X()
        """,
        "assert type(X) is Registry and type(x) is X and X().stamp == 1 and Registry.names == ['X']",
    ),
    "generic classes and type variables": (
        """
        from typing import Generic, TypeVar
        T = TypeVar("T", bound=int)
        class Stack(Generic[T]):
            def __init__(self): self.items = []
            def push(self, x: T) -> T:
                self.items.append(x)
                return x
        s = Stack[int]()
        OfInt = Stack[int]
        """,
        """
        assert type(s) is Stack and s.push(1) == 1 and Stack.__parameters__ == (T,) and OfInt.__origin__ is Stack
        assert T.__bound__ is int
        """,
    ),
    "typing's constructs": (
        """
        from typing import Callable, Literal, NewType, Optional, Protocol, TypedDict, runtime_checkable
        a, b, c, d, e = Optional[int], Callable[[int], str], list[int], int | str, Literal["x"]
        Meters = NewType("Meters", float)
        class Movie(TypedDict, total=False):
            year: int
        movie = Movie(year=1)
        @runtime_checkable
        class Closes(Protocol):
            def close(self): ...
        """,
        """
        import typing
        assert a == typing.Optional[int] and c == list[int] and d == (int | str) and e == typing.Literal["x"]
        assert b == typing.Callable[[int], str] and Meters(3.0) == 3.0 and Meters.__name__ == "Meters"
        assert movie == {"year": 1} and Movie.__total__ is False and Movie.__annotations__["year"]
        class File:
            def close(self): pass
        assert isinstance(File(), Closes) and not isinstance(3, Closes)
        """,
    ),
    "parameter specifications": (
        """
        from typing import Callable, Generic, ParamSpec, TypeVar
        P, R = ParamSpec("P"), TypeVar("R")
        class Task(Generic[P, R]):
            def __init__(self, f: Callable[P, R]): self.f = f
        task = Task(len)
        """,
        "assert task.f('ab') == 2 and P.__name__ == 'P' and Task.__parameters__ == (P, R)",
    ),
    "annotations that are strings": (
        """
        from dataclasses import dataclass
        class Leaf: pass
        @dataclass
        class Tree:
            leaf: "Leaf" = None
        """,
        """
        import typing
        assert typing.get_type_hints(Tree)["leaf"].__name__ == "Leaf"
        """,
    ),
    "from __future__ import annotations": (
        """
        from __future__ import annotations
        from dataclasses import dataclass
        @dataclass
        class D:
            a: int
            child: D | None = None
        d = D(1)
        """,
        """
        import typing
        assert typing.get_type_hints(D)["a"] is int and d == D(1) and D.__annotations__ == {"a": "int", "child": "D | None"}
        """,
    ),
    "attrs": (
        """
        import attr
        @attr.define
        class A:
            x: int
            y: list = attr.field(factory=list)
        a = A(1)
        """,
        "assert a == A(1) and A(2).y == [] and type(a) is A and attr.asdict(a) == {'x': 1, 'y': []}",
    ),
    "a class in a class, a class in a function": (
        """
        K = 2
        class Outer:
            class Inner:
                def f(self): return 1
        o = Outer.Inner()
        def make():
            class Local:
                v = K
                def many(self): return [K for _ in range(1)]
            return Local
        L = make()
        l = L()
        """,
        """
        assert o.f() == 1 and type(o) is Outer.Inner and Outer.Inner.__qualname__ == "Outer.Inner"
        assert l.many() == [2] and type(l) is L and make() is not L
        """,
    ),
    "cached_property, partialmethod": (
        """
        from functools import cached_property, partialmethod
        class X:
            @cached_property
            def p(self): return [1]
            def m(self, k): return k
            m3 = partialmethod(m, 3)
        x, y = X(), X()
        x.p
        """,
        "assert x.__dict__['p'] == [1] and y.p is y.p and x.m3() == 3",
    ),
    "an exception of one's own": (
        """
        class Broken(Exception):
            def __init__(self, code, text):
                super().__init__(code, text)
                self.code = code
        e = Broken(3, "x")
        """,
        "assert e.code == 3 and type(e) is Broken and e.args == (3, 'x')",
    ),
    "an exception that was caught": (
        """
        try: 1 / 0
        except ZeroDivisionError as error: kept = error
        """,
        "assert type(kept) is ZeroDivisionError and kept.args == ('division by zero',)",
    ),
    "subclasses of containers and of numbers": (
        """
        class Settings(dict):
            def level(self): return self["level"]
        class Names(list): pass
        class Ratio(float):
            def percent(self): return 100 * self
        settings, names, ratio = Settings(level=3), Names("ab"), Ratio(0.5)
        names.title = "t"
        """,
        "assert settings.level() == 3 and names == ['a', 'b'] and names.title == 't' and ratio.percent() == 50.0",
    ),
    "__reduce__, __getstate__, __setstate__ of the user": (
        """
        import threading
        class R:
            def __init__(self, v): self.v = v
            def __reduce__(self): return R, (self.v + 1,)
        class Guarded:
            def __init__(self):
                self.lock, self.v = threading.Lock(), 1
            def __getstate__(self): return {"v": self.v}
            def __setstate__(self, state):
                self.v, self.lock = state["v"], threading.Lock()
        r, g = R(3), Guarded()
        """,
        "assert r.v == 4 and g.v == 1 and not g.lock.locked()",
    ),
    "__hash__ that uses a global, in a set": (
        """
        salt = 7
        class Key:
            def __init__(self, v): self.v = v
            def __hash__(self): return hash((salt, self.v))
            def __eq__(self, other): return self.v == other.v
        keys = {Key(1), Key(2)}
        """,
        "assert Key(1) in keys and len(keys) == 2 and Key(3) not in keys",
    ),
    # ---- the standard library
    "collections": (
        """
        from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
        d = defaultdict(lambda: [1])
        d["a"].append(2)
        c, q, m, o = Counter("aab"), deque([1, 2, 3], maxlen=2), ChainMap({"a": 1}, {"b": 2}), OrderedDict(z=1, a=2)
        """,
        "assert d['z'] == [1] and d['a'] == [1, 2] and c['a'] == 2 and q.maxlen == 2 and m['b'] == 2 and list(o) == ['z', 'a']",
    ),
    "dates, numbers, paths, patterns": (
        """
        import datetime, decimal, fractions, pathlib, re, uuid
        day, third, cents = datetime.date(2024, 2, 29), fractions.Fraction(1, 3), decimal.Decimal("0.10")
        path, pattern, key = pathlib.Path("a") / "b", re.compile("a+", re.I), uuid.UUID(int=5)
        """,
        """
        assert day.month == 2 and third * 3 == 1 and str(cents) == "0.10" and path.parts == ("a", "b")
        assert pattern.match("AA") and key.int == 5
        """,
    ),
    "iterators stand where they stood": (
        """
        import itertools
        it, z, n = iter([1, 2, 3]), zip([1], [2]), itertools.count(5)
        next(it); next(n)
        """,
        "assert list(it) == [2, 3] and list(z) == [(1, 2)] and next(n) == 6",
    ),
    "random numbers go on": (
        """
        import random
        r = random.Random(1)
        r.random()
        ahead = random.Random()
        ahead.setstate(r.getstate())
        expected = ahead.random()
        """,
        "assert r.random() == expected",
    ),
    "weak references": (
        """
        import weakref
        class X: pass
        x = X()
        r = weakref.ref(x)
        """,
        "assert r() is x",
    ),
    "weak dictionaries and sets": (
        """
        import weakref
        class X: pass
        x = X()
        by_name, notes, group = weakref.WeakValueDictionary(a=x), weakref.WeakKeyDictionary({x: 1}), weakref.WeakSet([x])
        """,
        """
        assert by_name["a"] is x and notes[x] == 1 and x in group
        del x
        assert len(by_name) == 0
        """,
    ),
    "a lock arrives free": (
        """
        import threading
        held, again = threading.Lock(), threading.RLock()
        held.acquire(); again.acquire()
        """,
        """
        assert not held.locked() and again.acquire(blocking=False)
        """,
    ),
    "events, conditions and semaphores": (
        """
        import threading
        event, condition, semaphore = threading.Event(), threading.Condition(), threading.Semaphore(2)
        event.set()
        """,
        """
        assert event.is_set() and semaphore.acquire(timeout=0) and semaphore.acquire(timeout=0)
        assert not semaphore.acquire(timeout=0)
        with condition: condition.notify_all()
        """,
    ),
    "a log and its handler": (
        """
        import logging
        log, root = logging.getLogger("a.b"), logging.getLogger()
        handler = logging.StreamHandler()
        """,
        """
        import logging, sys
        assert log is logging.getLogger("a.b") and root is logging.getLogger()
        assert handler.stream is sys.stderr
        handler.handle(logging.makeLogRecord({"msg": ""}))
        """,
    ),
    "the standard streams keep their role": (
        """
        import sys
        out, err = sys.stdout, sys.stderr
        def say(text, file=sys.stdout): return file
        """,
        """
        import sys
        assert out is sys.stdout and err is sys.stderr and say("") is sys.stdout
        """,
    ),
    "the environment's variables are the job's own": (
        """
        import os
        from os import environ
        os.environ["ONLY_IN_THE_SESSION"] = "secret"
        def level(): return environ.get("ONLY_IN_THE_SESSION")
        """,
        """
        import os
        assert environ is os.environ and level() is None
        """,
    ),
    "text and bytes in memory": (
        """
        import io
        s, b = io.StringIO("ab"), io.BytesIO(b"xyz")
        s.read(1); b.read(2)
        """,
        "assert s.read() == 'b' and b.read() == b'z'",
    ),
    "views of bytes": (
        """
        m = memoryview(b"abc")
        big = bytearray(1_000_000)
        big[999_999] = 7
        """,
        """
        assert bytes(m) == b"abc" and len(big) == 1_000_000 and big[-1] == 7
        big[0] = 1
        """,
    ),
    "builtin functions and methods": (
        """
        import math, operator
        f, g, h, k = math.sqrt, "a,b".split, operator.itemgetter(1), len
        table = {"max": max, "upper": str.upper}
        """,
        "assert f(4) == 2 and g(',') == ['a', 'b'] and h([1, 2]) == 2 and k is len and table['upper']('a') == 'A'",
    ),
    # ---- modules
    "a module and its submodules": (
        """
        import concurrent.futures
        import xml.dom.minidom
        def pool(): return concurrent.futures.ThreadPoolExecutor
        """,
        """
        assert pool().__name__ == "ThreadPoolExecutor"
        assert xml.dom.minidom.parseString("<a/>").documentElement.tagName == "a"
        """,
    ),
    "a module made at run time": (
        """
        import types
        tools = types.ModuleType("tools")
        tools.x = 1
        exec("def f(): return x", tools.__dict__)
        f = tools.f
        """,
        """
        assert tools.f() == 1 and f is tools.f
        tools.x = 2
        assert f() == 2
        """,
    ),
    "a file of functions beside the notebook": (
        """
        import sys
        sys.path.insert(0, "{scratch}/local")
        import helpers
        from helpers import Helper, shout
        h = Helper()
        """,
        """
        import sys
        assert shout("a") == "A!" and type(h) is helpers.Helper is Helper and h.__class__.__module__ == "helpers"
        assert sys.modules["helpers"] is helpers
        """,
    ),
    # ---- deep things
    "a list nested 5000 deep": (
        """
        deep = None
        for _ in range(5000): deep = [deep]
        """,
        """
        depth = 0
        while deep: deep, depth = deep[0], depth + 1
        assert depth == 5000
        """,
    ),
    "a linked list of 3000 objects": (
        """
        class Node:
            def __init__(self, after): self.after = after
        node = None
        for _ in range(3000): node = Node(node)
        """,
        """
        length = 0
        while node: node, length = node.after, length + 1
        assert length == 3000
        """,
    ),
    # ---- numbers
    "numpy arrays of all sorts": (
        """
        import numpy as np
        a = np.arange(6).reshape(2, 3)
        big = np.arange(100_000.0)
        fortran = np.asfortranarray(np.arange(40_000.0).reshape(200, 200))
        records = np.array([(1, 2.0)], dtype=[("a", int), ("b", float)])
        objects = np.array([lambda: 1], dtype=object)
        masked = np.ma.array([1, 2], mask=[0, 1])
        add, kind, rng = np.add, np.dtype("f4"), np.random.default_rng(1)
        expected = np.random.default_rng(1).random()
        """,
        """
        assert a[1, 2] == 5 and big.sum() == 4999950000.0 and fortran.flags.f_contiguous and fortran[1, 2] == 202
        assert add is np.add and kind == np.float32 and records["b"][0] == 2.0 and objects[0]() == 1 and masked.mask[1]
        assert rng.random() == expected
        big[0] = 1; fortran[0, 0] = 1; a[0, 0] = 1
        """,
    ),
    "one large array under two names": (
        """
        import numpy as np
        x = np.zeros(100_000)
        y = {"same": x}
        """,
        """
        x[5] = 1
        assert y["same"] is x
        """,
    ),
    "an array mapped from a file": (
        """
        import numpy as np
        mapped = np.memmap("{scratch}/mapped", dtype="f8", mode="w+", shape=(20_000,))
        mapped[3] = 7
        """,
        "assert mapped[3] == 7 and mapped.shape == (20_000,)",
    ),
    "a subclass of ndarray keeps its attributes": (
        """
        import numpy as np
        class Length(np.ndarray):
            def __array_finalize__(self, other): self.unit = getattr(other, "unit", None)
        length = np.arange(3.0).view(Length)
        length.unit = "m"
        """,
        "assert type(length) is Length and length.sum() == 3 and length.unit == 'm'",
    ),
    "vectorized functions": (
        """
        import numpy as np
        step = 1
        v = np.vectorize(lambda x: x + step)
        """,
        "assert v([1, 2]).tolist() == [2, 3]",
    ),
    "a DataFrame": (
        """
        import pandas as pd
        frame = pd.DataFrame({"a": range(20_000), "b": ["x"] * 20_000}, index=pd.RangeIndex(20_000, name="i"))
        frame.attrs["source"] = "lab"
        grouped = frame.groupby("b")["a"]
        """,
        """
        assert frame["a"].sum() == 199_990_000 and frame.index.name == "i" and frame.attrs == {"source": "lab"}
        assert grouped.max()["x"] == 19_999
        frame.loc[0, "a"] = 5
        """,
    ),
    "a scikit-learn pipeline with the session's own parts": (
        """
        import numpy as np
        from sklearn.base import BaseEstimator, TransformerMixin
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer
        K = 2
        def scale(x): return x * K
        class Shift(TransformerMixin, BaseEstimator):
            def fit(self, X, y=None):
                self.fitted_ = True
                return self
            def transform(self, X): return X + K
        pipeline = make_pipeline(FunctionTransformer(scale), Shift()).fit(np.ones((2, 2)))
        """,
        """
        import numpy as np
        assert pipeline.transform(np.ones((1, 1)))[0, 0] == 4 and type(pipeline.steps[1][1]) is Shift
        """,
    ),
}

# Each story: the set-up, the cell, the path to what cannot be written (… stands for a library's own attributes), and
# a word of the reason.
REFUSED = {
    "a file open for reading": ("log = open('{scratch}/data.txt')", "log.read()", "log", "open file"),
    "a file open for writing": ("out = open('{scratch}/written.txt', 'w')", "out.write('x')", "out", "open file"),
    "a binary file": ("raw = open('{scratch}/data.txt', 'rb')", "raw.read()", "raw", "open file"),
    "a socket": ("import socket\ns = socket.socket()", "s.close()", "s", "socket"),
    "a child process": ("import subprocess\np = subprocess.Popen(['true'])\np.wait()", "p.returncode", "p", "Popen"),
    "a generator": ("g = (n for n in range(3))", "list(g)", "g", "generator"),
    "a coroutine": ("async def f(): pass\nc = f()", "await c", "c", "coroutine"),
    "a database": ("import sqlite3\ndb = sqlite3.connect(':memory:')", "db.execute('')", "db", "sqlite3.Connection"),
    "an executor": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)\npool.submit(int).result()",
        "pool.submit(int)",
        "pool…",
        "",
    ),
    "a mapped file": ("import mmap\nm = mmap.mmap(-1, 10)", "m[0]", "m", "mmap"),
    "a library of C": ("import ctypes\nlibc = ctypes.CDLL(None)", "libc.abs(-1)", "libc…", ""),
    "a connection in an object in a list in an object": (
        """
        import sqlite3
        class Loader:
            def __init__(self): self.conn = sqlite3.connect(":memory:")
        class Model:
            def __init__(self): self.name, self.loader = "m", [Loader()]
        model = Model()
        """,
        "model.name",
        "model.loader[0].conn",
        "sqlite3.Connection",
    ),
    "a file in a dict": ("config = dict(level=1, log=open('/dev/null'))", "config['level']", "config['log']", "open file"),
    "a generator in a tuple": ("steps = ('a', (n for n in 'ab'))", "steps[0]", "steps[1]", "generator"),
    "a file in a slot": (
        """
        class Log:
            __slots__ = ("level", "file")
            def __init__(self): self.level, self.file = 1, open("/dev/null")
        log = Log()
        """,
        "log.level",
        "log.file",
        "open file",
    ),
    "a file in a dataclass": (
        """
        from dataclasses import dataclass
        @dataclass
        class Run:
            files: list
        run = Run([1, open("/dev/null")])
        """,
        "run",
        "run.files[1]",
        "open file",
    ),
    "a socket of a bound method's object": (
        """
        import socket
        class Client:
            def __init__(self): self.sock = socket.socket()
            def ask(self): return 1
        ask = Client().ask
        """,
        "ask()",
        "ask.__self__.sock",
        "socket",
    ),
    "a file that a function reads": (
        "source = open('/dev/null')\ndef line(): return source.readline()",
        "line()",
        "source",
        "open file",
    ),
    "a file that a function's function reads": (
        "source = open('/dev/null')\ndef line(): return source.readline()\ndef words(): return line().split()",
        "words()",
        "source",
        "open file",
    ),
    "a file that a function in a dict reads": (
        "source = open('/dev/null')\ntable = {'next': lambda: source.readline()}",
        "table['next']()",
        "table['next'] → global source",
        "open file",
    ),
    "a file in a closure": (
        """
        def reader():
            file = open("/dev/null")
            def line(): return file.readline()
            return line
        line = reader()
        """,
        "line()",
        "line.<closure file>",
        "open file",
    ),
    "a file that is a default": (
        "def say(text, file=open('/dev/null', 'w')): print(text, file=file)",
        "say(1)",
        "say.__defaults__[0]",
        "open file",
    ),
    "a database in a class": (
        "import sqlite3\nclass Store:\n    db = sqlite3.connect(':memory:')\nstore = Store()",
        "store",
        "store.__class__.db",
        "sqlite3.Connection",
    ),
    "one culprit behind much that is fine": (
        "data = [[n, str(n), {'n': n}] for n in range(2000)]\ndata[1234][2]['file'] = open('/dev/null')",
        "data",
        "data[1234][2]['file']",
        "open file",
    ),
}

FUTURE = "from __future__ import annotations"


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """Every story of this module, done in two processes: what became of each, by its name."""
    scratch = tmp_path_factory.mktemp("round_trip")
    (scratch / "data.txt").write_text("one\ntwo\n")
    (scratch / "local").mkdir()
    (scratch / "local" / "helpers.py").write_text("def shout(text): return text.upper() + '!'\nclass Helper:\n    pass\n")
    stories = {**SURVIVES, **{name: story[:2] for name, story in REFUSED.items()}}
    cases = [
        {
            "setup": textwrap.dedent(setup).strip("\n").replace("{scratch}", str(scratch)) + "\n",
            "check": textwrap.dedent(check).strip("\n") + "\n",
            "flags": __future__.annotations.compiler_flag if FUTURE in setup else 0,
        }
        for setup, check in stories.values()
    ]
    (scratch / "cases.json").write_text(json.dumps(cases))
    script = Path(__file__).with_name("two_processes.py")
    for step in ("write", "read"):
        subprocess.run([sys.executable, script, step, scratch], check=True, timeout=600)
    answers = {}
    for number, name in enumerate(stories):
        answers[name] = {
            step: json.loads((scratch / "jobs" / str(number) / f"{step}.json").read_text()) for step in ("write", "read")
        }
    return answers


@pytest.mark.parametrize("story", SURVIVES)
def test_it_arrives_as_it_was(batch, story):
    failure = batch[story]["read"]["failure"]
    if failure:
        pytest.fail(failure, pytrace=False)


@pytest.mark.parametrize("story", REFUSED)
def test_what_belongs_to_the_session_is_refused_with_the_way_to_it(batch, story):
    *_, path, word = REFUSED[story]
    answer = batch[story]["write"]
    assert "refused" in answer, answer
    if path.endswith("…"):
        assert answer["refused"].startswith(path[:-1])
    else:
        assert answer["refused"] == path
    assert word in answer["reason"]
    assert "\n" not in answer["words"]
    assert f"--without {answer['variable']}" in answer["words"]


# ---------------------------------------------------------------- real jobs


REAL = {
    "functions with their globals": (
        """
        K = 3
        def f(x): return g(x) * K
        def g(x): return x + 1
        """,
        "f(1)",
        6,
    ),
    "a global that the cell changes for the session's functions": (
        """
        n = 1
        def double():
            global n
            n *= 2
        """,
        "n = 10\ndouble()\nn",
        20,
    ),
    "instances of the session's classes": (
        """
        class A:
            def __init__(self, v): self.v = v
            def get(self): return self.v
        class B(A):
            def get(self): return super().get() + 1
        items = [B(1), B(2)]
        """,
        "[b.get() for b in items] + [isinstance(items[0], B), type(items[0]) is B]",
        [2, 3, True, True],
    ),
    "dataclasses and enums": (
        """
        import enum
        from dataclasses import dataclass
        class Color(enum.Enum):
            RED = 1
        @dataclass(frozen=True)
        class Dot:
            color: Color
        dots = {Dot(Color.RED): "x"}
        """,
        "dots[Dot(Color.RED)], Color(1).name",
        ("x", "RED"),
    ),
    "closures": (
        """
        def counter(n):
            def up():
                nonlocal n
                n += 1
                return n
            return up
        up = counter(5)
        """,
        "up(); up()",
        7,
    ),
    "arrays": (
        """
        import numpy as np
        big = np.arange(1_000_000.0)
        small = np.ones(3)
        view = {"same": big}
        """,
        "big[:10] = 0\n(big.sum() == 499999499955.0, small.tolist(), view['same'] is big)",
        (True, [1.0, 1.0, 1.0], True),
    ),
    "imported modules": (
        """
        import json as js
        import xml.dom.minidom
        """,
        "js.dumps(xml.dom.minidom.parseString('<a/>').documentElement.tagName)",
        '"a"',
    ),
    "a lock and the standard streams": (
        """
        import sys, threading
        lock = threading.RLock()
        lock.acquire()
        out = sys.stdout
        """,
        "import sys\n(lock.acquire(blocking=False), out is sys.stdout)",
        (True, True),
    ),
    "recursion": (
        """
        def fact(n): return 1 if n < 2 else n * fact(n - 1)
        deep = None
        for _ in range(3000): deep = [deep]
        """,
        "d, n = deep, 0\nwhile d: d, n = d[0], n + 1\nfact(5), n",
        (120, 3000),
    ),
    "a file of functions beside the notebook": (
        """
        import sys
        sys.path.insert(0, "{scratch}")
        import helpers
        from helpers import shout
        """,
        "shout('a'), helpers.__file__.endswith('helpers.py')",
        ("A!", True),
    ),
    "top-level await": ("base = 2\nasync def later(x): return x + base", "await later(1)", 3),
    "the session's globals as a whole": (
        "X = 1\ndef read(name): return globals()[name]",
        "Y = 5\nread('Y'), globals()['X'] if X else None",
        (5, 1),
    ),
}


@pytest.mark.parametrize(("setup", "cell", "result"), REAL.values(), ids=REAL)
def test_a_job_sees_the_session_as_it_was(session, run, setup, cell, result, tmp_path, monkeypatch):
    (tmp_path / "helpers.py").write_text("def shout(text): return text.upper() + '!'\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    session(setup.replace("{scratch}", str(tmp_path)))
    assert run(cell).fetch() == result


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
    assert {each.name: each.asked_by for each in shipped.names} == {"f": "cell", "big": "f()", "K": "f()"}
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
