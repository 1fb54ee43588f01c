"""Classes of the session and their instances, in the job."""

import sys

CLASSES = {
    "a class that keeps its instances, and is called for them": (
        """
        class Sentinel:
            all = {}
            def __new__(cls, name):
                if name not in cls.all:
                    cls.all[name] = super().__new__(cls)
                    cls.all[name].name = name
                return cls.all[name]
            def __reduce__(self): return Sentinel, (self.name,)
        class Cached:
            known = {}
            def __new__(cls, key):
                made = cls.known.setdefault(key, super().__new__(cls))
                made.key = key
                return made
            def __getnewargs__(self): return (self.key,)
        missing, one = Sentinel("missing"), Cached(1)
        """,
        "assert missing is Sentinel('missing') and one is Cached(1) and one.key == 1 and missing.name == 'missing'",
    ),
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
        l, foreign = L(), make()()
        """,
        """
        assert o.f() == 1 and type(o) is Outer.Inner and Outer.Inner.__qualname__ == "Outer.Inner"
        assert l.many() == [2] and type(l) is L and type(foreign) is not L and type(foreign).__name__ == 'Local'
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
    "a metaclass with __prepare__, keywords and properties": (
        """
        class Meta(type):
            @classmethod
            def __prepare__(meta, name, bases, *, size=1): return {"prepared": size}
            def __new__(meta, name, bases, namespace, *, size=1): return super().__new__(meta, name, bases, namespace)
            def __init__(cls, name, bases, namespace, *, size=1):
                super().__init__(name, bases, namespace)
                cls.size = size
            @property
            def shout(cls): return cls.__name__.upper()
            def __len__(cls): return cls.size
            def __getitem__(cls, k): return cls, k
            def __contains__(cls, x): return x == 3
        class X(metaclass=Meta, size=4): pass
        x = X()
        """,
        "assert X.shout == 'X' and len(X) == 4 and X[1] == (X, 1) and 3 in X and X.prepared == 4 and type(type(x)) is Meta",
    ),
    "a metaclass that keeps its instances": (
        """
        class Single(type):
            made = {}
            def __call__(cls, *a):
                if cls not in cls.made: cls.made[cls] = super().__call__(*a)
                return cls.made[cls]
        class Config(metaclass=Single): pass
        config = Config()
        """,
        "assert Config() is config is Single.made[Config]",
    ),
    "a metaclass with an __instancecheck__ and a __setattr__": (
        """
        class Even(type):
            def __instancecheck__(cls, x): return type.__instancecheck__(cls, x) or (type(x) is int and x % 2 == 0)
            def __setattr__(cls, name, value): raise AttributeError(name)
        class Number(metaclass=Even): limit = 3
        """,
        """
        assert isinstance(4, Number) and not isinstance(3, Number) and Number.limit == 3
        try: Number.limit = 4
        except AttributeError: pass
        else: raise AssertionError
        """,
    ),
    "a singleton by __new__": (
        """
        class One:
            only = None
            def __new__(cls):
                if cls.only is None: cls.only = super().__new__(cls)
                return cls.only
        one = One()
        """,
        "assert One() is one is One.only",
    ),
    "a class with its instances in a registry": (
        """
        class Unit:
            all = {}
            def __init__(self, name):
                self.name = name
                Unit.all[name] = self
        meter, second = Unit("m"), Unit("s")
        """,
        "assert Unit.all == {'m': meter, 's': second} and Unit.all['m'] is meter",
    ),
    "bases that were changed": (
        """
        class A:
            def f(self): return "A"
        class B:
            def f(self): return "B"
        class C(A): pass
        C.__bases__ = (B,)
        c = C()
        """,
        "assert c.f() == 'B' and C.__mro__[1] is B",
    ),
    "an instance whose class was changed": (
        """
        class A: tag = "A"
        class B: tag = "B"
        a = A()
        a.__class__ = B
        """,
        "assert a.tag == 'B' and type(a) is B",
    ),
    "multiple inheritance and mixins": (
        """
        class Base:
            def go(self): return ["Base"]
        class Left(Base):
            def go(self): return ["Left", *super().go()]
        class Right(Base):
            def go(self): return ["Right", *super().go()]
        class Both(Left, Right):
            def go(self): return ["Both", *super().go()]
        both = Both()
        """,
        "assert both.go() == ['Both', 'Left', 'Right', 'Base'] and Both.__mro__ == (Both, Left, Right, Base, object)",
    ),
    "a class with slots whose base has a dict, and slots in both": (
        """
        class A:
            __slots__ = ("a",)
        class B(A):
            __slots__ = ("b", "__dict__")
        class C(A):
            __slots__ = "c"
        b, c = B(), C()
        b.a, b.b, b.free, c.a, c.c = 1, 2, 3, 4, 5
        """,
        "assert (b.a, b.b, b.free, c.a, c.c) == (1, 2, 3, 4, 5) and not hasattr(c, '__dict__') and b.__dict__ == {'free': 3}",
    ),
    "slots with defaults by a descriptor and with a docstring": (
        """
        class A:
            __slots__ = {"x": "where it is"}
            def __init__(self): self.x = 1
        a = A()
        """,
        "import inspect\nassert a.x == 1 and inspect.getdoc(A.x) == 'where it is'",
    ),
    "slots that are only partly filled": (
        """
        class A:
            __slots__ = ("x", "y")
        a = A()
        a.y = 2
        """,
        "assert a.y == 2 and not hasattr(a, 'x')",
    ),
    "slots and weak references, also between instances": (
        """
        import weakref
        class Node:
            __slots__ = ("parent", "kids", "__weakref__")
            def __init__(self, parent=None):
                self.parent, self.kids = parent and weakref.ref(parent), []
                if parent: parent.kids.append(self)
        root = Node()
        leaf = Node(root)
        """,
        "assert leaf.parent() is root and root.kids == [leaf]",
    ),
    "__getattribute__ and __setattr__ that refuse": (
        """
        class Closed:
            def __init__(self): object.__setattr__(self, "x", 1)
            def __setattr__(self, name, value): raise TypeError("closed")
            def __getattribute__(self, name):
                if name == "secret": raise AttributeError(name)
                return object.__getattribute__(self, name)
        closed = Closed()
        """,
        "assert closed.x == 1 and not hasattr(closed, 'secret')",
    ),
    "a dict whose keys are attributes": (
        """
        class Bunch(dict):
            __setattr__ = dict.__setitem__
            def __getattr__(self, name):
                try: return self[name]
                except KeyError: raise AttributeError(name) from None
        bunch = Bunch(a=1)
        bunch.b = 2
        """,
        "assert bunch.a == 1 and bunch == {'a': 1, 'b': 2} and type(bunch) is Bunch",
    ),
    "an __eq__ that is never true, and one that gives an array": (
        """
        class Never:
            def __eq__(self, other): return False
            __hash__ = object.__hash__
        class Arrayish:
            def __eq__(self, other): return [True, False]
            def __bool__(self): raise ValueError("ambiguous")
            def __len__(self): raise TypeError("no length")
        never, odd = Never(), Arrayish()
        held = [never, odd, odd]
        """,
        "assert held[0] is never and held[1] is held[2] is odd",
    ),
    "a class that cannot be looked at": (
        """
        class Rude:
            def __repr__(self): raise RuntimeError("no")
            __str__ = __repr__
            def __len__(self): raise RuntimeError("no")
            def __bool__(self): raise RuntimeError("no")
            def __hash__(self): raise RuntimeError("no")
            def __eq__(self, other): raise RuntimeError("no")
            def __iter__(self): raise RuntimeError("no")
            def __sizeof__(self): raise RuntimeError("no")
        rude = Rude()
        rude.v = 1
        """,
        "assert rude.v == 1",
    ),
    "unittest.mock": (
        """
        from unittest.mock import sentinel
        marker = sentinel.marker
        """,
        "from unittest.mock import sentinel\nassert marker is sentinel.marker",
    ),
    "__reduce_ex__ with every part": (
        """
        class Bag(list):
            def __init__(self, name=""):
                self.name, self.by_key = name, {}
            def __setitem__(self, key, value):
                if isinstance(key, str): self.by_key[key] = value
                else: super().__setitem__(key, value)
            def __reduce_ex__(self, protocol):
                return Bag, (self.name,), {"state": 1}, iter(list(self)), iter(self.by_key.items())
        bag = Bag("b")
        bag.append(1)
        bag["k"] = 2
        """,
        "assert bag == [1] and bag.by_key == {'k': 2} and bag.state == 1 and bag.name == 'b' and type(bag) is Bag",
    ),
    "__getnewargs_ex__ and __getnewargs__": (
        """
        class Money(float):
            def __new__(cls, amount, *, unit):
                made = super().__new__(cls, amount)
                made.unit = unit
                return made
            def __getnewargs_ex__(self): return (float(self),), {"unit": self.unit}
        class Word(str):
            def __new__(cls, text, n): return super().__new__(cls, text * n)
            def __getnewargs__(self): return str(self), 1
        money, word = Money(3, unit="EUR"), Word("ab", 2)
        """,
        "assert money == 3.0 and money.unit == 'EUR' and word == 'abab' and type(word) is Word",
    ),
    "copyreg for a class of the session": (
        """
        import copyreg
        class C:
            def __init__(self, v): self.v = v
        copyreg.pickle(C, lambda c: (C, (c.v * 10,)))
        c = C(1)
        """,
        "assert c.v == 10",
    ),
    "copyreg for a class of a library": (
        """
        import copyreg, fractions
        copyreg.pickle(fractions.Fraction, lambda f: (fractions.Fraction, (f.numerator + 1, f.denominator)))
        f = fractions.Fraction(1, 3)
        """,
        "assert f.numerator == 2",
    ),
    "a __setstate__ with slots and a __getstate__ with a tuple": (
        """
        class P:
            __slots__ = ("x", "y")
            def __init__(self, x, y): self.x, self.y = x, y
            def __getstate__(self): return (self.x, self.y)
            def __setstate__(self, state): self.x, self.y = state
        p = P(1, 2)
        """,
        "assert (p.x, p.y) == (1, 2)",
    ),
    "a false state": (
        """
        class Empty:
            def __init__(self): self.set = False
            def __getstate__(self): return ()
            def __setstate__(self, state): self.set = state
        e = Empty()
        """,
        "assert not hasattr(e, 'set') or e.set == ()",
    ),
    "an object of a class that was defined anew": (
        """
        class A:
            def tag(self): return "first"
        a = A()
        class A:
            def tag(self): return "second"
        """,
        "assert a.tag() == 'first' and A().tag() == 'second' and type(a) is not A",
    ),
    "a class that was deleted": (
        """
        class Gone:
            def v(self): return helper()
        def helper(): return 4
        gone = Gone()
        del Gone
        """,
        "assert gone.v() == 4 and type(gone).__name__ == 'Gone'",
    ),
    "type() makes a class": (
        """
        offset = 3
        Made = type("Made", (dict,), {"get_it": lambda self: self["k"] + offset, "__doc__": "Made."})
        made = Made(k=1)
        """,
        "assert made.get_it() == 4 and type(made) is Made and Made.__doc__ == 'Made.'",
    ),
    "a class whose name is not the variable's": (
        "class A: v = 1\nB = A\nA = None\nb = B()",
        "assert type(b) is B and B.__name__ == 'A' and A is None",
    ),
    "abstract properties, class methods and a registered builtin": (
        """
        import abc
        class Base(abc.ABC):
            @property
            @abc.abstractmethod
            def p(self): ...
            @classmethod
            @abc.abstractmethod
            def make(cls): ...
        class Leaf(Base):
            p = 1
            @classmethod
            def make(cls): return cls()
        Base.register(list)
        leaf = Leaf.make()
        """,
        """
        assert isinstance(leaf, Base) and isinstance([], Base) and Base.__abstractmethods__ == {"p", "make"}
        """,
    ),
    "an abstract class with __subclasshook__": (
        """
        import abc
        class Quacks(abc.ABC):
            @classmethod
            def __subclasshook__(cls, other): return hasattr(other, "quack") or NotImplemented
        class Duck:
            def quack(self): pass
        duck = Duck()
        """,
        "assert isinstance(duck, Quacks) and not isinstance(1, Quacks)",
    ),
    "collections.abc implemented": (
        """
        from collections.abc import Mapping, MutableSequence, Set
        class Lower(Mapping):
            def __init__(self, d): self.d = d
            def __getitem__(self, k): return self.d[k.lower()]
            def __iter__(self): return iter(self.d)
            def __len__(self): return len(self.d)
        class Bits(Set):
            def __init__(self, n): self.n = set(n)
            def __contains__(self, x): return x in self.n
            def __iter__(self): return iter(self.n)
            def __len__(self): return len(self.n)
        lower, bits = Lower({"a": 1}), Bits([1, 2])
        """,
        "assert lower['A'] == 1 and dict(lower.items()) == {'a': 1} and bits & Bits([2]) == Bits([2]) and bits == {1, 2}",
    ),
    "UserDict, UserList, UserString": (
        """
        from collections import UserDict, UserList, UserString
        class D(UserDict):
            def __setitem__(self, k, v): super().__setitem__(k, v * 2)
        d, l, s = D(a=1), UserList([1]), UserString("s")
        """,
        "assert d == {'a': 2} and l == [1] and s == 's' and type(d) is D",
    ),
    "a __missing__ and a __class_getitem__": (
        """
        class D(dict):
            def __missing__(self, key): return key * 2
            def __class_getitem__(cls, item): return (cls, item)
        d = D(a=1)
        """,
        "assert d['b'] == 'bb' and D[int] == (D, int)",
    ),
    "dataclasses: fields, keyword-only, InitVar, __post_init__": (
        """
        from dataclasses import KW_ONLY, InitVar, dataclass, field
        @dataclass
        class Job:
            name: str
            size: InitVar[int] = 1
            _: KW_ONLY
            tags: list = field(default_factory=lambda: ["new"], metadata={"unit": "s"})
            total: int = field(init=False, repr=False, compare=False)
            def __post_init__(self, size): self.total = size * 2
        job = Job("a", 3)
        """,
        """
        import dataclasses
        assert job.total == 6 and Job("b").total == 2 and job.tags == ["new"] and job == Job("a")
        assert [f.name for f in dataclasses.fields(Job)] == ["name", "tags", "total"]
        assert dataclasses.fields(Job)[1].metadata["unit"] == "s" and repr(job) == "Job(name='a', tags=['new'])"
        assert dataclasses.replace(job, name="c", size=5).total == 10 and dataclasses.is_dataclass(job)
        assert dataclasses.asdict(job)["tags"] == ["new"] and dataclasses.astuple(job) == ("a", ["new"], 6)
        """,
    ),
    "dataclasses that inherit": (
        """
        from dataclasses import dataclass, field
        @dataclass
        class A:
            x: int = 1
        @dataclass(kw_only=True)
        class B(A):
            y: list = field(default_factory=list)
        @dataclass(slots=True)
        class C:
            z: int = 5
            def me(self): return __class__
        b, c = B(x=3), C()
        """,
        """
        import dataclasses
        assert b == B(x=3) and isinstance(b, A) and [f.name for f in dataclasses.fields(b)] == ["x", "y"]
        assert c == C() and c.z == 5 and C.__slots__ == ("z",) and dataclasses.fields(C)[0].default == 5
        """,
    ),
    "a frozen dataclass that holds itself": (
        """
        from dataclasses import dataclass, field
        @dataclass(frozen=True, eq=False)
        class N:
            others: list = field(default_factory=list)
        n = N()
        n.others.append(n)
        """,
        "assert n.others[0] is n",
    ),
    "a frozen dataclass with slots in a set that it holds": (
        """
        from dataclasses import dataclass
        @dataclass(frozen=True)
        class K:
            name: str
            def __hash__(self): return hash(self.name)
        k = K("a")
        group = {k: [k]}
        """,
        "assert group[K('a')][0] is k",
    ),
    "a generic dataclass": (
        """
        from dataclasses import dataclass
        from typing import Generic, TypeVar
        T = TypeVar("T")
        @dataclass
        class Box(Generic[T]):
            value: T
        @dataclass
        class IntBox(Box[int]):
            extra: int = 0
        box, more = Box[str]("a"), IntBox(1)
        """,
        """
        assert box == Box("a") and more.value == 1 and IntBox.__orig_bases__ == (Box[int],) and Box.__parameters__ == (T,)
        """,
    ),
    "make_dataclass": (
        """
        import dataclasses
        P = dataclasses.make_dataclass("P", [("x", int), ("y", int, 2)], namespace={"total": lambda self: self.x + self.y})
        p = P(1)
        """,
        "assert p.total() == 3 and p == P(1, 2) and type(p) is P",
    ),
    "named tuples: defaults, methods, documents, inheritance": (
        """
        from collections import namedtuple
        Point = namedtuple("Point", ["x", "y"], defaults=[0])
        Point.__doc__ += ": a place"
        class Vector(Point):
            __slots__ = ()
            @property
            def length(self): return abs(self.x) + abs(self.y)
        class Tagged(Point): pass
        v, t = Vector(3, -4), Tagged(1)
        t.tag = "t"
        """,
        """
        assert v.length == 7 and v == (3, -4) and type(v) is Vector and t.tag == "t" and Point._field_defaults == {"y": 0}
        assert Point.__doc__.endswith("a place") and v._asdict() == {"x": 3, "y": -4} and Vector._make([1, 2]).length == 3
        """,
    ),
    "a generic NamedTuple and a recursive one" if sys.version_info >= (3, 11) else "a recursive NamedTuple": (
        """
        from typing import NamedTuple, Optional
        class Cell(NamedTuple):
            head: int
            tail: Optional["Cell"] = None
        cell = Cell(1, Cell(2))
        """,
        "assert cell.tail.head == 2 and type(cell.tail) is Cell and cell == (1, (2, None))",
    ),
    "enum: flags with boundaries, aliases and composites": (
        """
        import enum
        class Perm(enum.Flag):
            R = 4
            W = 2
            X = 1
            RW = R | W
            NONE = 0
        class Keep(enum.IntFlag):
            A = 1
            B = 2
        rw, odd = Perm.R | Perm.W, Keep(8) | Keep.A
        """,
        """
        assert rw is Perm.RW and Perm.R in rw and not Perm.NONE
        assert int(odd) == 9 and Keep.A in odd and isinstance(odd, Keep)
        """,
    ),
    "enum: mixed types, methods, private names, unhashable values": (
        """
        import datetime, enum
        class Odd(enum.Enum):
            LIST = [1, 2]
            DICT = {"a": 1}
        class Number(float, enum.Enum):
            HALF = 0.5
        class When(enum.Enum):
            DAY = datetime.date(2024, 1, 1)
        odd, half, day = Odd.DICT, Number.HALF, When.DAY
        """,
        """
        assert odd is Odd({"a": 1}) and half is Number(0.5) and half * 2 == 1.0 and day is When.DAY and day.value.year == 2024
        """,
    ),
    "enum: _missing_, _ignore_, _generate_next_value_, unique": (
        """
        import enum
        @enum.unique
        class Auto(enum.Enum):
            def _generate_next_value_(name, start, count, last): return name.lower()
            _ignore_ = "tmp"
            tmp = 5
            A = enum.auto()
            B = enum.auto()
            @classmethod
            def _missing_(cls, value): return cls.A if value == "?" else None
        b = Auto.B
        """,
        "assert b is Auto('b') and Auto('?') is Auto.A and [m.value for m in Auto] == ['a', 'b'] and not hasattr(Auto, 'tmp')",
    ),
    "enum: functional, and in a class": (
        """
        import enum
        Color = enum.Enum("Color", "RED GREEN")
        class Box:
            class Kind(enum.Enum):
                OPEN = 1
            kind = Kind.OPEN
        red, box = Color.RED, Box()
        """,
        "assert red is Color(1) and box.kind is Box.Kind.OPEN and Box.Kind.__qualname__ == 'Box.Kind'",
    ),
    "enum: an abstract one and one with a mixin": (
        """
        import enum
        class Describes:
            def describe(self): return f"{self.name}={self.value}"
        class Base(Describes, enum.Enum):
            def twice(self): return self.value * 2
        class Leaf(Base):
            ONE = 1
        one = Leaf.ONE
        """,
        "assert one.describe() == 'ONE=1' and one.twice() == 2 and isinstance(one, Base) and Leaf(1) is one",
    ),
    "enum: members that are functions and descriptors": (
        """
        import enum, functools
        class Op(enum.Enum):
            ADD = functools.partial(lambda a, b: a + b)
            def __call__(self, *a): return self.value(*a)
        add = Op.ADD
        """,
        "assert add(1, 2) == 3 and add is Op.ADD",
    ),
    "enum members in sets, as keys, in dataclasses": (
        """
        import enum
        from dataclasses import dataclass
        class E(enum.Enum):
            A = 1
            B = 2
        @dataclass(frozen=True)
        class D:
            e: E = E.A
        table, group, d = {E.A: 1, E.B: 2}, frozenset(E), D()
        """,
        "assert table[E.B] == 2 and E.A in group and d.e is E.A and {d: 1}[D(E.A)] == 1",
    ),
    "exceptions that the system raised": (
        """
        import json
        def caught(f, *a):
            try: f(*a)
            except Exception as error: return error
        errors = [caught(open, "/nowhere"), caught(json.loads, "{"), caught("é".encode, "ascii"), caught(int, "x"), caught({}.__getitem__, 3),
            caught(compile, "a b", "<s>", "eval"), caught(getattr, 1, "nothing"), StopIteration(5), KeyError("k")]
        """,
        """
        assert errors[0].errno == 2 and errors[0].filename == "/nowhere" and errors[1].pos == 1 and errors[2].encoding == "ascii"
        assert errors[5].lineno == 1 and errors[7].value == 5 and [type(e).__name__ for e in errors[3:5]] == ["ValueError", "KeyError"]
        """,
    ),
    "descriptors: data, cached, class-level, and properties that inherit": (
        """
        class Typed:
            def __init__(self, kind): self.kind, self.values = kind, {}
            def __set_name__(self, owner, name): self.name = "_" + name
            def __get__(self, obj, owner=None): return self if obj is None else getattr(obj, self.name)
            def __set__(self, obj, value):
                if not isinstance(value, self.kind): raise TypeError(self.name)
                setattr(obj, self.name, value)
            def __delete__(self, obj): delattr(obj, self.name)
        class ClassValue:
            def __get__(self, obj, owner): return owner.__name__
        class A:
            n = Typed(int)
            me = ClassValue()
            @property
            def p(self): return 1
        class B(A):
            @A.p.getter
            def p(self): return super().p + 1
        b = B()
        b.n = 3
        """,
        """
        assert b.n == 3 and b.me == B.me == "B" and b.p == 2 and A.n.name == "_n"
        try: b.n = "x"
        except TypeError: pass
        else: raise AssertionError
        del b.n
        assert not hasattr(b, "_n")
        """,
    ),
    "Protocols with members and generics": (
        """
        from typing import Protocol, TypeVar, runtime_checkable
        T = TypeVar("T", covariant=True)
        @runtime_checkable
        class Has(Protocol[T]):
            name: str
            def get(self) -> T: ...
        class Impl(Has[int]):
            name = "i"
            def get(self): return 1
        impl = Impl()
        """,
        "assert isinstance(impl, Has) and impl.get() == 1 and not isinstance(3, Has) and Has.__parameters__ == (T,)",
    ),
    "TypedDicts that inherit, with Required": (
        """
        from typing import TypedDict
        class A(TypedDict):
            x: int
        class B(A, total=False):
            y: str
        b: B = B(x=1)
        F = TypedDict("F", {"in": int})
        """,
        "assert b == {'x': 1} and B.__required_keys__ == {'x'} and B.__optional_keys__ == {'y'} and set(F.__annotations__) == {'in'}",
    ),
    "typing: Annotated, Final, ClassVar, Union, ParamSpec, Concatenate, overload": (
        """
        import typing
        from typing import Annotated, Any, Callable, ClassVar, Concatenate, Final, ParamSpec, TypeVar, Union, overload
        class Unit:
            def __init__(self, name): self.name = name
            def __eq__(self, other): return self.name == other.name
            def __hash__(self): return 1
        P, R = ParamSpec("P"), TypeVar("R")
        Length = Annotated[float, Unit("m")]
        class C:
            limit: ClassVar[int] = 3
            size: Final = 4
            length: Length = 1.0
        Handler = Callable[Concatenate[C, P], R]
        def timed(f: Callable[P, R]) -> Callable[P, R]: return f
        @overload
        def g(x: int) -> int: ...
        @overload
        def g(x: str) -> str: ...
        def g(x): return x
        c, maybe = C(), Union[C, None, list["C"]]
        """,
        """
        import typing
        assert Length.__metadata__[0].name == "m" and typing.get_type_hints(C, include_extras=True)["length"] == Length
        assert Handler.__args__[0].__args__[0] is C and Handler.__parameters__ == (P, R) and c.limit == 3 and g(1) == 1
        assert maybe.__args__[0] is C and timed.__annotations__["f"] == typing.Callable[P, R]
        """,
    ),
    "type variables under two names, bound to a class of the session": (
        """
        from typing import Generic, TypeVar
        class Node:
            def me(self: "N") -> "N": return self
        N = TypeVar("N", bound="Node")
        M = TypeVar("M", Node, int)
        class Tree(Generic[N, M]):
            def __init__(self, root): self.root = root
        tree = Tree[Node, int](Node())
        """,
        """
        assert Tree.__parameters__ == (N, M) and M.__constraints__ == (Node, int) and type(tree.root) is Node
        assert tree.__orig_class__ == Tree[Node, int] and N.__bound__.__forward_arg__ == "Node"
        """,
    ),
    "__init_subclass__ of a library, __class_getitem__": (
        """
        import string
        class Percent(string.Template):
            delimiter = "%"
        p = Percent("%a is $a")
        """,
        "assert p.substitute(a=1) == '1 is $a' and type(p) is Percent",
    ),
    "an object with a __del__, a __copy__ and a __deepcopy__": (
        """
        dead = []
        class D:
            def __init__(self, n): self.n = n
            def __del__(self): dead.append(self.n)
            def __copy__(self): return D(-1)
            def __deepcopy__(self, memo): return D(-2)
        d = D(1)
        """,
        "import copy\nassert copy.copy(d).n == -1 and d.n == 1 and dead == [-1]",
    ),
    "operators, indexing, context managers and iteration of one's own": (
        """
        class Poly:
            def __init__(self, *c): self.c = c
            def __add__(self, o): return Poly(*(a + b for a, b in zip(self.c, o.c)))
            def __matmul__(self, o): return sum(a * b for a, b in zip(self.c, o.c))
            def __getitem__(self, i): return self.c[i]
            def __call__(self, x): return sum(a * x**i for i, a in enumerate(self.c))
            def __enter__(self): return self
            def __exit__(self, *e): return True
            def __iter__(self): return iter(self.c)
            def __index__(self): return 3
            def __format__(self, spec): return spec
            def __fspath__(self): return "path"
        p = Poly(1, 2)
        """,
        """
        import os
        assert (p + p).c == (2, 4) and p @ p == 5 and p[1] == 2 and p(2) == 5 and list(p) == [1, 2] and [0, 1, 2, 3][p] == 3
        assert f"{p:x}" == "x" and os.fspath(p) == "path"
        with p: raise ValueError
        """,
    ),
    "inner classes that name their outer one": (
        """
        class Outer:
            class Error(Exception): pass
            class Inner:
                def make(self): return Outer()
            def fail(self): raise Outer.Error(self)
        Outer.Inner.outer = Outer
        o = Outer.Inner().make()
        """,
        """
        assert type(o) is Outer is Outer.Inner.outer
        try: o.fail()
        except Outer.Error as error: assert error.args[0] is o
        """,
    ),
    "a subclass of a class of the session that is not mentioned, three deep": (
        """
        import abc
        class A(abc.ABC):
            registry = []
            def __init_subclass__(cls, **k): A.registry.append(cls)
            @abc.abstractmethod
            def f(self): ...
        class B(A):
            @abc.abstractmethod
            def g(self): ...
        class C(B):
            def f(self): return 1
            def g(self): return 2
        c = C()
        """,
        """
        base = type(c).__mro__[2]
        assert base.registry == list(type(c).__mro__[1::-1]) and c.f() + c.g() == 3
        """,
    ),
    "subclasses of builtins with state of their own": (
        """
        class L(list):
            def __init__(self, items, unit): super().__init__(items); self.unit = unit
        class S(set): pass
        class F(frozenset): pass
        class T(tuple): pass
        class I(int): pass
        class B(bytes): pass
        class BA(bytearray): pass
        class ST(str): pass
        class CO(complex): pass
        l, s, f, t, i, b, ba, st, co = L([1], "m"), S([1]), F([2]), T((1, 2)), I(3), B(b"x"), BA(b"y"), ST("z"), CO(1j)
        for each in (s, f, t, i, b, ba, st, co): each.tag = each
        """,
        """
        assert l == [1] and l.unit == "m" and type(t) is T and t == (1, 2) and i + 1 == 4
        assert all(each.tag is each for each in (s, f, t, i, b, ba, st, co))
        assert (s, f, b, ba, st, co) == ({1}, {2}, b"x", b"y", "z", 1j)
        """,
    ),
    "OrderedDict, defaultdict, Counter and deque subclasses": (
        """
        from collections import Counter, OrderedDict, defaultdict, deque
        class O(OrderedDict): pass
        class D(defaultdict):
            def __missing__(self, key): return ("missing", key)
        class C(Counter):
            def top(self): return self.most_common(1)[0][0]
        class Q(deque): pass
        o, d, c, q = O(a=1), D(list, a=[1]), C("aab"), Q([1, 2], 5)
        o.move_to_end("a"); o.tag = "t"; q.tag = "q"
        """,
        "assert o == {'a': 1} and o.tag == 't' and d['z'] == ('missing', 'z') and d['a'] == [1] and c.top() == 'a' and q.maxlen == 5 and q.tag == 'q'",
    ),
    "hooks of classes do not run again": (
        """
        calls = []
        class Meta(type):
            def __new__(meta, *a, **k):
                calls.append("new")
                return super().__new__(meta, *a, **k)
            def __init__(cls, *a, **k): calls.append("init")
        class Field:
            def __set_name__(self, owner, name): calls.append("set_name")
        class Base(metaclass=Meta):
            def __init_subclass__(cls): calls.append("subclass")
        class Child(Base): field = Field()
        child = Child()
        """,
        "assert calls == ['new', 'init', 'new', 'set_name', 'subclass', 'init'] and type(type(child)) is Meta",
    ),
    "a metaclass that forbids calls": (
        """
        class Static(type):
            def __call__(cls, *a): raise TypeError("no instances")
        class C(metaclass=Static): pass
        c = object.__new__(C)
        c.x = 1
        """,
        "assert c.x == 1 and type(c) is C",
    ),
    "__reduce__ by functions, methods and objects of the session": (
        """
        class C:
            def __init__(self, x): self.x = x
            def __reduce__(self): return make, (self.x,)
        def make(x): return C(x)
        class D(C):
            @classmethod
            def again(cls, x): return cls(x)
            def __reduce__(self): return D.again, (self.x,)
        class Factory:
            def build(self, x): return E(x)
        factory = Factory()
        class E(C):
            def __reduce__(self): return factory.build, (self.x,)
        def set_up(made, state): made.state = state
        class F(C):
            def __reduce__(self): return F, (self.x,), {"a": 1}, None, None, set_up
        c, d, e, f = C(1), D(2), E(3), F(4)
        """,
        "assert (c.x, d.x, e.x, f.x) == (1, 2, 3, 4) and [type(o) for o in (c, d, e, f)] == [C, D, E, F] and f.state == {'a': 1}",
    ),
    "a class that a decorator replaced": (
        """
        def louder(cls):
            class Louder(cls):
                def say(self): return super().say() + "!"
            return Louder
        @louder
        class Dog:
            def say(self): return "wow"
        dog = Dog()
        """,
        "assert dog.say() == 'wow!' and type(dog) is Dog and Dog.__mro__[1].__name__ == 'Dog'",
    ),
    "dataclasses with slots that inherit": (
        """
        from dataclasses import dataclass
        @dataclass(slots=True)
        class A:
            x: int = 1
            def get(self): return self.x
        @dataclass(slots=True)
        class B(A):
            y: int = 2
        b = B()
        """,
        "assert b.get() == 1 and b.y == 2 and b == B() and not hasattr(b, '__dict__')",
    ),
    "enum: with a tuple and an integer of the session as its type": (
        """
        import enum
        class Pair(tuple, enum.Enum):
            ONE = (1, 2)
        class Count(int):
            def twice(self): return 2 * self
        class Some(Count, enum.Enum):
            FOUR = 4
        one, four = Pair.ONE, Some.FOUR
        """,
        "assert one == (1, 2) and one is Pair.ONE and four.twice() == 8 and four is Some(4)",
    ),
    "enum: a metaclass, a hash of its own, an attribute put on a member": (
        """
        import enum
        class Open(enum.EnumMeta):
            def __getattr__(cls, name): return "any"
        class A(enum.Enum, metaclass=Open):
            ONE = 1
        class B(enum.Enum):
            ONE = 1
            def __hash__(self): return 5
            def __eq__(self, other): return self is other
        B.ONE.note = [1]
        table = {B.ONE: 1, A.ONE: 2}
        """,
        "assert A.thing == 'any' and table[B.ONE] == 1 and table[A.ONE] == 2 and B.ONE.note == [1]",
    ),
    "types made of the session's classes": (
        """
        import typing
        from typing import Annotated, Callable, ForwardRef, List, Literal, NewType, Optional
        import enum
        class A: pass
        class E(enum.Enum):
            X = 1
        mark = A()
        kinds = [list[A], Optional[A], A | None, Callable[[A], "A"], Literal[E.X], Annotated[A, mark], NewType("N", A), List["A"]]
        """,
        """
        assert [kind.__args__[0] for kind in kinds[:5]] == [A, A, A, A, E.X] and isinstance(A(), kinds[2])
        assert kinds[5].__metadata__[0] is mark and kinds[6].__supertype__ is A and kinds[7].__args__[0].__forward_arg__ == "A"
        """,
    ),
    "hints that are resolved later": (
        """
        from typing import get_type_hints
        class A: pass
        def f(x: "A", y: "list[A]") -> "B": ...
        class B: pass
        """,
        "assert get_type_hints(f) == {'x': A, 'y': list[A], 'return': B}",
    ),
    "traitlets": (
        "from traitlets import HasTraits, Int\nclass T(HasTraits):\n    n = Int(3)\nt = T(n=4)",
        "assert t.n == 4 and T().n == 3",
    ),
    "dict and list subclasses with an __init__ of their own": (
        """
        class Sized(dict):
            def __init__(self, n): super().__init__(n=n); self.size = n
        class Named(list):
            def __init__(self, name, items): super().__init__(items); self.name = name
        sized, named = Sized(3), Named("x", [1])
        """,
        "assert sized == {'n': 3} and sized.size == 3 and named == [1] and named.name == 'x'",
    ),
    "enum: texts and numbers whose words are their own": (
        """
        import enum
        class Plain(str, enum.Enum):
            A = "a"
        class Low(str, enum.Enum):
            LOW = "low"
            def __str__(self): return "X"
            def __format__(self, spec): return "F"
        class Count(int, enum.Enum):
            ONE = 1
            def __int__(self): return 99
        class Ratio(float, enum.Enum):
            HALF = 0.5
            def __float__(self): return 99.0
        class Raw(bytes, enum.Enum):
            A = b"a"
            def __bytes__(self): return b"x"
        a, low, one, half, raw = Plain.A, Low.LOW, Count.ONE, Ratio.HALF, Raw.A
        """,
        """
        import json
        assert a + "b" == "ab" and a is Plain("a") and json.dumps(Plain.A) == '"a"'
        assert low + "er" == "lower" and str(low) == "X" and f"{low}" == "F" and one + 1 == 2 and half + 1 == 1.5 and raw + b"b" == b"ab"
        """,
    ),
    "enum: flags that were inverted": (
        """
        import enum
        class P(enum.Flag):
            R = 4
            W = 2
        class Q(enum.IntFlag):
            X = 1
            Y = 2
        not_r, not_x = ~P.R, ~Q.X
        """,
        "assert not_r is P.W and ~P.W is P.R and ~not_r is P.R and not_x == ~Q.X and ~P(0) == P.R | P.W",
    ),
    "enum: members that know each other": (
        """
        import enum
        class N(enum.Enum):
            A = 1
            B = 2
        N.A.other, N.B.other = N.B, N.A
        N.A.me, N.A.kind, N.B.seen = N.A, N, [N.A, N.B]
        a = N.A
        """,
        "assert a is N.A is a.me and a.other is N.B and a.other.other is a and a.kind is N and N.B.seen == [N.A, N.B]",
    ),
    "enum: values that are not equal to themselves": (
        "import enum\nclass E(enum.Enum):\n    A = float('nan')\n    B = 2\nh = [E.A, E.A]",
        "assert h[0] is h[1] is E.A and E.A.value != E.A.value and list(E) == [E.A, E.B]",
    ),
    "exceptions whose __init__ wants other arguments": (
        """
        class H(Exception):
            def __init__(self, a, b):
                super().__init__(f"{a} {b}")
                self.a = a
        class K(ValueError):
            def __init__(self, *, key): self.key = key
        class F(OSError):
            def __init__(self, path): super().__init__(2, "gone", path)
        class S(Exception):
            __slots__ = ("n",)
            def __init__(self, n): self.n = n
        h, k, f, s = H(1, 2), K(key=3), F("a/b"), S(4)
        """,
        """
        assert h.a == 1 and h.args == ("1 2",) and k.key == 3 and k.args == () and s.n == 4
        assert (f.errno, f.strerror, f.filename) == (2, "gone", "a/b") and type(f) is F and "a/b" in str(f)
        """,
    ),
    "__getattr__ that knows everything": (
        """
        class Any:
            def __getattr__(self, name): return name
        class Proxy:
            def __init__(self, inner): self.inner = inner
            def __getattr__(self, name): return getattr(self.inner, name)
        class Attributes(dict):
            __getattr__ = dict.__getitem__
            __setattr__ = dict.__setitem__
        any_, proxy, table = Any(), Proxy([1]), Attributes(a=1)
        """,
        "assert any_.thing == 'thing' and proxy.inner == [1] and proxy.count(1) == 1 and table.a == 1 and type(table) is Attributes",
    ),
    "__reduce__ that names a global of the session": (
        """
        class Missing:
            def __reduce__(self): return "MISSING"
            def __repr__(self): return "MISSING"
        MISSING = Missing()
        row = [1, MISSING]
        """,
        "assert row[1] is MISSING and repr(MISSING) == 'MISSING' and type(MISSING) is Missing",
    ),
    "values whose __new__ wants other arguments": (
        """
        class T(tuple):
            def __new__(cls, *a): return super().__new__(cls, a)
        class S(str):
            def __new__(cls, a, b): return super().__new__(cls, a + b)
        class I(int):
            def __new__(cls, text, base): return super().__new__(cls, text, base)
        class F(frozenset):
            def __new__(cls, *a): return super().__new__(cls, a)
        t, s, i, f = T(1, 2), S("a", "b"), I("ff", 16), F(1, 2)
        s.note = [s]
        """,
        """
        assert t == (1, 2) and s == "ab" and i == 255 and f == {1, 2} and s.note[0] is s
        assert [type(each) for each in (t, s, i, f)] == [T, S, I, F]
        """,
    ),
    "containers whose __init__ wants other arguments": (
        """
        from collections import Counter, OrderedDict, defaultdict, deque
        class S(set):
            def __init__(self, unit, it): super().__init__(it); self.unit = unit
        class C(Counter):
            def __init__(self, name, it=()): self.name = name; super().__init__(it)
        class Q(deque):
            def __init__(self, name, size): super().__init__(maxlen=size); self.name = name
        class D(defaultdict):
            def __init__(self, name): super().__init__(list); self.name = name
        class O(OrderedDict):
            def __init__(self, name): super().__init__(z=1, a=2); self.name = name
        s, c, q, d, o = S("m", [1]), C("n", "aab"), Q("q", 2), D("d"), O("o")
        q.extend([1, 2, 3]); d["a"].append(1)
        """,
        """
        assert s == {1} and s.unit == "m" and c["a"] == 2 and c["z"] == 0 and c.name == "n"
        assert list(q) == [2, 3] and q.maxlen == 2 and q.name == "q" and d["a"] == [1] and d["b"] == [] and d.name == "d"
        assert list(o) == ["z", "a"] and o.name == "o" and [type(each) for each in (s, c, q, d, o)] == [S, C, Q, D, O]
        """,
    ),
    "containers whose methods need their attributes": (
        """
        class D(dict):
            def __init__(self): super().__init__(); self.log = []
            def __setitem__(self, k, v): self.log.append(k); super().__setitem__(k, v)
        class L(list):
            def __init__(self): super().__init__(); self.n = 0
            def append(self, v): self.n += 1; super().append(v)
            def extend(self, vs):
                for v in vs: self.append(v)
        class S(set):
            def __init__(self): super().__init__(); self.n = 0
            def add(self, v): self.n += 1; super().add(v)
        d, l, s = D(), L(), S()
        d["a"] = 1; l.append(1); s.add(1)
        """,
        "assert d == {'a': 1} and d.log == ['a'] and l == [1] and l.n == 1 and s == {1} and s.n == 1",
    ),
    "a class in a class that reads the session's name": (
        "d = 'session'\nclass A:\n    d = 'class'\n    class B:\n        e = d",
        "assert A.B.e == 'session' and A.d == 'class'\nclass C:\n    d = 'mine'\n    class D:\n        e = d\nassert C.D.e == 'session'",
    ),
    "registered with classes of the library": (
        """
        import collections.abc, numbers
        class F: pass
        class N: pass
        collections.abc.Sized.register(F)
        numbers.Number.register(N)
        """,
        "import collections.abc, numbers\nassert issubclass(F, collections.abc.Sized) and isinstance(N(), numbers.Number) and not issubclass(N, collections.abc.Sized)",
    ),
    "type variables with all that they were given": (
        """
        from typing import ParamSpec, TypeVar
        class A: pass
        T, U, P = TypeVar("T", bound=A, covariant=True), TypeVar("U", int, str), ParamSpec("P", contravariant=True)
        """,
        """
        assert T.__module__ == U.__module__ == P.__module__ == "__main__"
        assert T.__bound__ is A and T.__covariant__ and U.__constraints__ == (int, str) and P.__contravariant__
        """,
    ),
    "enum: dates as members": (
        "import enum, datetime\nclass E(datetime.date, enum.Enum):\n    A = 2024, 1, 1\nh = E.A",
        "assert h is E.A and h.year == 2024",
    ),
    "an object that calls itself something else": (
        "class Mock:\n    @property\n    def __class__(self): return dict\nmock = Mock()\nmock.x = 1",
        "assert type(mock).__name__ == 'Mock' and type(mock) is Mock and isinstance(mock, dict) and mock.x == 1",
    ),
    "an object whose __new__ wants arguments": (
        """
        class C:
            def __new__(cls, a):
                made = super().__new__(cls)
                made.a = a
                return made
        c = C(1)
        """,
        "assert c.a == 1 and C(2).a == 2",
    ),
    "enum: composites, aliases and combinations of flags": (
        """
        import enum
        class F(enum.Flag):
            A = enum.auto()
            B = enum.auto()
            AB = A | B
            ALSO = B
            D = 8
            def many(self): return len([f for f in F if f in self])
        class I(enum.IntFlag):
            X = 1
            Y = 4
        ab, ad, none, also, big, unknown = F.AB, F.A | F.D, F(0), F.ALSO, I.X | I.Y, I(16)
        table = {ad: "ad", none: "none"}
        """,
        """
        assert ab is F.AB is F.A | F.B is F(3) and ad is F.A | F.D and table[F(9)] == "ad" and table[F.A & F.B] == "none"
        assert also is F.B is F["ALSO"] and ad.many() == 2 and big == 5 and isinstance(big, I) and unknown == 16 and type(unknown) is I
        assert not none and F.A ^ F.AB is F.B and list(F.__members__) == ["A", "B", "AB", "ALSO", "D"]
        """,
    ),
    "enum: made by a call, by make of types, in a function and in a class": (
        """
        import enum
        Animal = enum.Enum("Animal", "ANT BEE", module=__name__, qualname="Animal")
        Sized = enum.IntEnum("Sized", {"S": 1, "L": 5})
        Nameless = enum.Enum("Other", [("A", "a")])
        def make():
            class Local(enum.Enum):
                ONE = 1
            return Local
        Local = make()
        class Holder:
            class Inner(enum.Enum):
                X = "x"
                def up(self): return Holder.Inner.X.value
            default = Inner.X
        values = [Animal.BEE, Sized.L, Nameless.A, Local.ONE, Holder.Inner.X]
        """,
        """
        assert values[0] is Animal.BEE is Animal(2) and values[1] is Sized(5) and values[2] is Nameless["A"] and values[3] is Local.ONE
        assert values[4] is Holder.Inner.X is Holder.default and Holder.default.up() == "x" and Nameless.__name__ == "Other"
        """,
    ),
    "enum: _missing_, properties and class methods that use the session": (
        """
        import enum
        names = {"red": 1}
        class C(enum.Enum):
            RED = 1
            BLUE = 2
            @classmethod
            def _missing_(cls, value): return cls(names[value])
            @classmethod
            def all(cls): return list(cls)
            @staticmethod
            def two(): return 2
            @property
            def label(self): return f"{self.name.title()}!"
            def __call__(self): return self.value
            def __lt__(self, other): return self.value < other.value
            def __len__(self): return 3
        red = C("red")
        """,
        "assert red is C.RED is C('red') and C.all() == [C.RED, C.BLUE] and red.label == 'Red!' and red() == 1 and C.RED < C.BLUE and C.two() == 2 and len(red) == 3",
    ),
    "enum: values of every kind": (
        """
        import enum
        from dataclasses import dataclass
        @dataclass(frozen=True)
        class P:
            x: int
        class E(enum.Enum):
            TUPLE = (1, 2)
            LIST = [1]
            NONE = None
            OBJECT = P(1)
            KIND = P,
            TEXT = "t"
            TRUE = True
        shared = E.LIST.value
        members = list(E)
        """,
        """
        assert members == list(E) and [m.name for m in E] == ["TUPLE", "LIST", "NONE", "OBJECT", "KIND", "TEXT", "TRUE"]
        assert E(P(1)) is E.OBJECT and E([1]) is E.LIST and E.LIST.value is shared and E(None) is E.NONE and E.KIND.value == (P,)
        """,
    ),
    "enum: one's own base without members, __init__ and __new__": (
        """
        import enum
        class Base(enum.Enum):
            def describe(self): return self.name, self.value
            @classmethod
            def default(cls): return cls.A
        class Derived(Base):
            A = 1
        class Auto(enum.Enum):
            def __new__(cls, *args):
                made = object.__new__(cls)
                made._value_ = len(cls.__members__) + 1
                return made
            def __init__(self, label=""): self.label = label
            FIRST = "f"
            SECOND = "s"
        a, s = Derived.A, Auto.SECOND
        """,
        """
        assert a.describe() == ("A", 1) and Derived.default() is a and s is Auto(2) and s.label == "s" and Auto.FIRST.value == 1
        class Other(Base):
            A = "other"
        assert Other.default().describe() == ("A", "other")
        """,
    ),
    "exceptions of every make": (
        """
        class Coded(Exception):
            def __str__(self): return f"code {self.code}"
        class Slotted(Exception):
            __slots__ = ("a", "b")
        class Missing(KeyError):
            def __init__(self, key, table): super().__init__(key); self.table = table
        class Both(ValueError, KeyError): pass
        class Stop(StopIteration): pass
        class Exit(SystemExit): pass
        class Decoding(UnicodeDecodeError):
            def __init__(self): super().__init__("utf-8", b"x", 0, 1, "why")
        class Import(ImportError):
            def __init__(self): super().__init__("m", name="n", path="p")
        class Wrong(SyntaxError): pass
        coded, slotted, missing = Coded(), Slotted("x"), Missing("k", {"k": 1})
        coded.code, slotted.a = 3, 1
        rest = Both(1, 2), Stop(4), Exit(5), Decoding(), Import(), Wrong("m", ("file", 3, 4, "text"))
        stock = KeyError("k"), OSError(2, "no", "name", None, "other"), StopIteration(3), SystemExit(4), NameError("n", name="n"), FileNotFoundError(2, "no", "f")
        coded.me = coded
        errors = {"coded": coded, "again": [coded]}
        """,
        """
        assert str(coded) == "code 3" and coded.me is coded is errors["again"][0] and slotted.a == 1 and not hasattr(slotted, "b")
        assert slotted.args == ("x",) and missing.args == ("k",) and missing.table == {"k": 1} and str(missing) == "'k'"
        both, stop, exit_, decoding, import_, wrong = rest
        assert isinstance(both, KeyError) and both.args == (1, 2) and stop.value == 4 and exit_.code == 5
        assert (decoding.encoding, decoding.object, decoding.reason) == ("utf-8", b"x", "why") and (import_.name, import_.path, import_.msg) == ("n", "p", "m")
        assert (wrong.msg, wrong.filename, wrong.lineno, wrong.offset, wrong.text) == ("m", "file", 3, 4, "text")
        key, os_error, stopped, left, name, gone = stock
        assert (os_error.errno, os_error.filename, os_error.filename2) == (2, "name", "other") and stopped.value == 3 and left.code == 4
        assert name.name == "n" and type(gone) is FileNotFoundError and gone.filename == "f" and str(key) == "'k'"
        """,
    ),
    "exceptions that chain in circles and through containers": (
        """
        class E(Exception): pass
        first, second = E(1), E(2)
        first.__cause__, second.__context__ = second, first
        second.seen = {first: "first", second: [first]}
        first.__notes__ = ["note"]
        try:
            try: raise first
            finally: {}["gone"]
        except KeyError as error: raised = error
        """,
        """
        assert first.__cause__ is second and second.__context__ is first and first.__suppress_context__ and not second.__suppress_context__
        assert second.seen[first] == "first" and second.seen[second][0] is first and first.__notes__ == ["note"]
        assert raised.__context__ is first and raised.__traceback__ is None
        """,
    ),
    "exceptions that say how they are pickled": (
        """
        class R(Exception):
            def __init__(self, a, b): super().__init__(a); self.a, self.b = a, b
            def __reduce__(self): return R, (self.a, self.b)
        class S(Exception):
            def __setstate__(self, state): self.__dict__.update(state, restored=True)
        class G(Exception):
            def __init__(self, *, a): self.a = a
            def __getnewargs_ex__(self): return (), {"a": self.a}
        r, s = R(1, 2), S(3)
        s.x = 1
        """,
        "assert (r.a, r.b, r.args) == (1, 2, (1,)) and s.args == (3,) and s.x == 1 and s.restored",
    ),
    "bound methods of every kind": (
        """
        import functools
        from collections import Counter, OrderedDict
        class Base:
            @classmethod
            def make(cls, *a): return cls, a
            @staticmethod
            def plain(): return "static"
            def go(self): return "base", self
        class C(Base):
            def go(self): return "c", self
            def add(self, k, n=0): return k + n, self
            add3 = functools.partialmethod(add, 3)
            part = functools.partial(print)
            def __call__(self): return "called"
            def __len__(self): return 7
            @functools.cached_property
            def saved(self): return self.go
            def gather(self): return [super().go, self.go, super().make]
        c = C()
        saved, three, made, up = c.saved, c.add3, c.make, super(C, c).make
        gathered, called, size, plain = c.gather(), c.__call__, c.__len__, c.plain
        counter, ordered = Counter("ab").most_common, OrderedDict(a=1).move_to_end
        partial = functools.partial(c.add, 1, n=2)
        key = {c.go: 1}
        """,
        """
        assert saved() == ("c", c) and c.saved is saved and three(n=1) == (4, c) and made(1) == (C, (1,)) and up() == (C, ())
        assert [m() for m in gathered] == [("base", c), ("c", c), (C, ())] and called() == "called" and size() == 7 and plain() == "static"
        assert counter(1)[0][1] == 1 and ordered("a") is None and partial() == (3, c) and key[c.go] == 1
        assert made.__self__ is C and made.__func__ is Base.__dict__["make"].__func__
        """,
    ),
    "methods of objects of libraries": (
        """
        import collections, logging, random, re, string, threading
        generator = random.Random(5)
        dice, template, stop = generator.random, string.Template("$a").substitute, threading.Event().set
        expected = random.Random(5).random()
        class Shout(string.Template):
            def substitute(self, *a, **k): return super().substitute(*a, **k) + "!"
        shout, plain = Shout("$a").substitute, super(Shout, Shout("$a")).substitute
        info = logging.getLogger("methods").info
        link = collections.ChainMap({"a": 1}).new_child
        """,
        """
        import logging
        assert dice() == expected and generator.random() != expected and template(a=1) == "1" and shout(a=1) == "1!" and plain(a=1) == "1"
        assert info.__self__ is logging.getLogger("methods") and link({"b": 2})["a"] == 1
        """,
    ),
    "plain instances with every kind of class attribute": (
        """
        class Tracked:
            def __set_name__(self, owner, name): self.name, self.owner = name, owner
            def __get__(self, obj, kind=None): return self if obj is None else (self.name, obj.__dict__.get(self.name))
        class C:
            limit = 5
            items = []
            tracked = Tracked()
            x = property(lambda self: ("property", self.__dict__.get("x")))
            def __init__(self): self.own = 1
        c, d, empty = C(), C(), object.__new__(C)
        c.__dict__["x"] = "hidden"
        c.__dict__["not a name"] = 1
        c.limit = 6
        d.items.append(c)
        """,
        """
        assert c.x == ("property", "hidden") and c.tracked == ("tracked", None) and C.tracked.owner is C
        assert (c.limit, d.limit, C.limit) == (6, 5, 5) and C.items[0] is c and c.items is d.items and vars(empty) == {} and vars(c)["not a name"] == 1
        """,
    ),
    "instances whose __dict__ is shared or of another class": (
        """
        class Borg:
            shared = {}
            def __init__(self): self.__dict__ = self.shared
        class Watched(dict):
            def get_it(self): return 1
        class W:
            def __init__(self): self.__dict__ = Watched(a=1)
        a, b, w = Borg(), Borg(), W()
        a.x = 1
        """,
        """
        assert b.x == 1 and w.a == 1
        """,
    ),
    "dataclasses of every make": (
        """
        import dataclasses, typing
        from dataclasses import KW_ONLY, InitVar, dataclass, field
        @dataclass(frozen=True, slots=True, kw_only=True)
        class A:
            x: int
            others: tuple = ()
        @dataclass(slots=True)
        class B:
            a: int = 1
            _: KW_ONLY
            b: list = field(default_factory=list, compare=False)
        @dataclass(unsafe_hash=True, eq=True)
        class C:
            seed: InitVar[int]
            total: int = field(init=False, default=0)
            name: typing.ClassVar[str] = "c"
            def __post_init__(self, seed): self.total = seed * 2
        @dataclass(frozen=True)
        class Loop:
            me: list = field(default_factory=list, hash=False)
        T = typing.TypeVar("T")
        @dataclass
        class G(typing.Generic[T]):
            value: T
        a, b, c, loop, g = A(x=1), B(2, b=[1]), C(4), Loop(), G[int](5)
        outer = A(x=2, others=(a, b))
        loop.me.append(loop)
        b.b.append(b)
        """,
        """
        import dataclasses
        assert a == A(x=1) and outer.others[0] is a and outer.others[1] is b and {a: 1}[A(x=1)] == 1 and b.b[1] is b and b == B(2)
        assert c.total == 8 and {c: 1}[C(4)] == 1 and loop.me[0] is loop and g == G(5) and dataclasses.replace(a, x=3).x == 3
        assert [f.name for f in dataclasses.fields(B)] == ["a", "b"] and dataclasses.astuple(C(1)) == (2,) and C.name == "c"
        try: a.x = 4
        except dataclasses.FrozenInstanceError: pass
        else: raise AssertionError
        """,
    ),
    "mixins with classes of C": (
        """
        import collections, datetime, decimal, fractions, io, pathlib, random
        from typing import Generic, Protocol, TypeVar
        T = TypeVar("T")
        class Tag:
            def __init__(self, *a, tag=None, **k):
                super().__init__(*a, **k)
                self.tag = tag
        class TagList(Tag, list): pass
        class TagDict(Tag, dict): pass
        class TagDeque(Tag, collections.deque): pass
        class TagSet(Tag, set, Generic[T]): pass
        class TagOrdered(Tag, collections.OrderedDict): pass
        class Has(Protocol):
            tag: str
        class Mixed(Tag, Has, Generic[T]): pass
        class Day(datetime.date):
            def __new__(cls, *a, note=None):
                made = super().__new__(cls, *a)
                made.note = note
                return made
        class Part(fractions.Fraction): pass
        all_ = [TagList([1], tag="l"), TagDict(a=1, tag="d"), TagDeque([1], tag="q"), TagSet([1], tag="s"), TagOrdered(a=1, tag="o"), Mixed(tag="m")]
        day, part = Day(2024, 1, 2), Part(1, 3)
        for each in all_[:1]: each.append(each)
        """,
        """
        assert [each.tag for each in all_] == list("ldqsom") and all_[0] == [1, all_[0]] or all_[0][1] is all_[0]
        assert all_[1] == {"a": 1} and list(all_[2]) == [1] and all_[3] == {1} and dict(all_[4]) == {"a": 1}
        assert [type(each) for each in all_] == [TagList, TagDict, TagDeque, TagSet, TagOrdered, Mixed]
        assert (day.year, day.day, type(day)) == (2024, 2, Day) and part * 3 == 1 and type(part) is Part
        """,
    ),
    "containers of the session's classes in circles": (
        """
        from collections import Counter, OrderedDict, UserDict, defaultdict, deque
        class L(list): pass
        class D(dict): pass
        class S(set):
            def __hash__(self): return id(type(self))
        class Q(deque): pass
        class DD(defaultdict): pass
        class O(OrderedDict): pass
        class C(Counter): pass
        class U(UserDict): pass
        class T(tuple): pass
        class FS(frozenset): pass
        l, d, s, q, dd, o, c, u = L(), D(), S(), Q(maxlen=3), DD(list), O(), C("aab"), U()
        all_ = [l, d, s, q, dd, o, c, u]
        l.append(l); d["me"] = d; q.append(q); dd["me"] = dd; o["me"] = o; u["me"] = u
        for each in all_: each.rest = all_
        t, fs = T((l, d)), FS([1, s])
        t.me, fs.me = t, [fs]
        l.append(t)
        """,
        """
        assert l[0] is l and d["me"] is d and q[0] is q and dd["me"] is dd and o["me"] is o and u["me"] is u and dd["new"] == []
        assert all(each.rest is all_ for each in all_) and c["a"] == 2 and c["z"] == 0 and q.maxlen == 3
        assert t.me is t and t[0] is l is l[1][0] and fs.me[0] is fs and s in fs and [type(e) for e in all_] == [L, D, S, Q, DD, O, C, U]
        """,
    ),
    "containers of the session's classes as keys and elements": (
        """
        class K(dict):
            def __hash__(self): return hash(tuple(sorted(self)))
        class T(tuple):
            def __hash__(self): return hash(self.salt)
            def __eq__(self, other): return tuple.__eq__(self, other)
        class N(str):
            def __hash__(self): return hash(self.lower())
            def __eq__(self, other): return self.lower() == other.lower()
        class F(frozenset): pass
        k, t, n, f = K(a=1), T((1, 2)), N("Ab"), F([1])
        t.salt = 5
        table = {k: "k", t: "t", n: "n", f: "f"}
        group = {k, n, f}
        """,
        "assert table[k] == 'k' and table[t] == 't' and table[N('aB')] == 'n' and table[F([1])] == 'f' and group == {k, n, f} and type(next(iter(group - {n, f}))) is K",
    ),
    "numbers, texts and bytes of the session's classes": (
        """
        class I(int):
            def __new__(cls, v, unit="m"):
                made = super().__new__(cls, v)
                made.unit = unit
                return made
            def __add__(self, other): return I(int(self) + other, self.unit)
        class F(float):
            def __repr__(self): return "F!"
        class C(complex): pass
        class B(bytes):
            def __new__(cls, *parts): return super().__new__(cls, b"".join(parts))
        class BA(bytearray):
            def __init__(self, *parts): super().__init__(b"".join(parts)); self.n = len(parts)
        class S(str):
            __slots__ = ()
            def __str__(self): return "shown"
            def __iter__(self): return iter("iterated")
            def __len__(self): return 99
        class Bool(int):
            def __bool__(self): return False
            def __eq__(self, other): return False
            __hash__ = int.__hash__
        i, f, c, b, ba, s, bool_ = I(5, "kg"), F(0.1), C(1j), B(b"a", b"b"), BA(b"a", b"b"), S("raw"), Bool(1)
        big = I(3**100, "big")
        """,
        """
        assert i == 5 and i.unit == "kg" and (i + 1).unit == "kg" and f == 0.1 and repr(f) == "F!" and c == 1j and b == b"ab" and ba == b"ab" and ba.n == 2
        assert str.__str__(s) == "raw" and str(s) == "shown" and len(s) == 99 and not bool_ and int.__eq__(bool_, 1) and big == 3**100 and big.unit == "big"
        assert [type(each) for each in (i, f, c, b, ba, s, bool_)] == [I, F, C, B, BA, S, Bool]
        """,
    ),
    "named tuples with slots, methods, attributes and a __new__": (
        """
        from collections import namedtuple
        from typing import NamedTuple
        Base = namedtuple("Base", "x y")
        class P(Base):
            __slots__ = ()
            def __new__(cls, x, y=2, **rest): return super().__new__(cls, x, y)
            @property
            def sum(self): return self.x + self.y
        class Free(Base):
            def __init__(self, *a): self.extra = [self]
        class N(NamedTuple):
            a: int
            b: "list" = []
        class M(N):
            @classmethod
            def make(cls): return cls(1)
            def __getnewargs__(self): return tuple(self)
        p, free, n, m = P(1), Free(1, 2), N(1), M.make()
        n.b.append(p)
        table = {p: 1}
        """,
        """
        assert p == (1, 2) and p.sum == 3 and table[P(1)] == 1 and not hasattr(p, "__dict__") and free.extra[0] is free and free.y == 2
        assert n.b[0] is p and m.a == 1 and type(m) is M and m._replace(a=5).a == 5 and N._field_defaults["b"] is n.b and p._asdict() == {"x": 1, "y": 2}
        """,
    ),
    "Protocol and Generic with instances": (
        """
        from typing import Generic, Protocol, TypeVar, runtime_checkable
        T, K = TypeVar("T"), TypeVar("K", bound="Base")
        @runtime_checkable
        class Sized(Protocol[T]):
            size: int
            def get(self) -> T: ...
        class Base(Generic[T]):
            def __init__(self, v: T): self.v, self.size = v, 1
            def get(self) -> T: return self.v
        class Text(Base[str]): pass
        class Pair(Base[T], Generic[T, K]): pass
        b, t, pair = Base[int](1), Text("a"), Pair[int, Base](3)
        """,
        """
        assert isinstance(b, Sized) and b.__orig_class__ == Base[int] and t.get() == "a" and Text.__orig_bases__ == (Base[str],)
        assert pair.__orig_class__.__args__ == (int, Base) and Pair.__parameters__ == (T, K) and isinstance(pair, Base) and not isinstance(3, Sized)
        """,
    ),
    "super without arguments in every kind of method": (
        """
        class A:
            def __init__(self): self.log = ["A"]
            def __repr__(self): return "A"
            @classmethod
            def make(cls): return cls()
            @property
            def p(self): return "Ap"
            def __getattribute__(self, name): return super().__getattribute__(name)
        class B(A):
            def __init__(self):
                super().__init__()
                self.log.append("B")
                self.later = lambda: super(B, self).__repr__() + "B"
            @classmethod
            def make(cls): return super().make()
            @property
            def p(self): return super().p + "Bp"
            def __repr__(self): return super().__repr__() + "B"
        b = B.make()
        later, make = b.later, B.make
        """,
        "assert b.log == ['A', 'B'] and b.p == 'ApBp' and repr(b) == 'AB' == later() and type(make()) is B",
    ),
    "enum: numbers, texts and sets made of several arguments": (
        """
        import enum
        class C(complex, enum.Enum):
            I = 1j
        class T(frozenset, enum.Enum):
            A = [1]
        class S(str, enum.Enum):
            A = b"x", "ascii"
            def __str__(self): return "never"
        class N(int, enum.Enum):
            FF = "ff", 16
        i, a, s, n = C.I, T.A, S.A, N.FF
        values = [i.value, a.value, s.value, n.value]
        """,
        """
        assert i * 1j == -1 and i is C.I and a == {1} and a is T.A and s + "y" == "xy" and s is S.A and n == 255 and n is N.FF
        assert values == [C.I.value, T.A.value, S.A.value, N.FF.value]
        """,
    ),
    "enum: negative, empty and unknown integer flags": (
        "import enum\nclass I(enum.IntFlag):\n    A = 1\n    B = 2\nn, m, z, far = ~I.A, I(-1), I(0), I(64) | I.B",
        "assert n == ~I.A and m == I(-1) and z == 0 and far == 66 and {type(each) for each in (n, m, z, far)} == {I}",
    ),
    "enum: an older one of the same name, and one put in twice by a closure": (
        """
        import enum
        class S(enum.Enum):
            A = 1
        old = S.A
        class S(enum.Enum):
            A = 1
        def make(k):
            class E(enum.Enum):
                A = k
                def get(self): return k, E
            return E
        E1, E2 = make(1), make(2)
        a = E1.A
        """,
        "assert old is not S.A and type(old) is not S and old.value == 1 and a is E1.A and a.get() == (1, E1) and E2.A.get() == (2, E2)",
    ),
    "enum: attributes and methods that came later": (
        """
        import enum
        shared = {"k": []}
        class E(enum.Enum):
            _order_ = "A B"
            A = shared
            B = 2
        E.extra, E.f = 5, lambda self: self.value
        E.A.value["k"].append(E.A)
        """,
        "assert E.extra == 5 and E.B.f() == 2 and shared['k'][0] is E.A and E.A.value is shared and list(E) == [E.A, E.B]",
    ),
    "slots beside a __dict__ and weak references in slots": (
        """
        import weakref
        class A:
            __slots__ = ("a", "__dict__")
        class B:
            __slots__ = ("me", "__weakref__")
        a, b = A(), B()
        a.a, a.b = 1, [a]
        b.me = weakref.ref(b)
        """,
        "assert a.a == 1 and a.b[0] is a and vars(a) == {'b': [a]} and b.me() is b",
    ),
    "an ordered dict that says how it is pickled": (
        """
        import collections
        class O(collections.OrderedDict):
            def __reduce__(self): return O, (list(self.items()),)
        o = O(a=1)
        """,
        "assert o == {'a': 1} and type(o) is O",
    ),
    "__getattr__ with slots, with __getstate__, over a list": (
        """
        class P:
            def __init__(self, inner): self.inner = inner
            def __getattr__(self, name):
                if name.startswith("__"): raise AttributeError(name)
                return getattr(self.inner, name)
            def __getstate__(self): return self.inner
            def __setstate__(self, state): self.inner = state
        class Slots:
            __slots__ = ("i", "_j")
            def __init__(self, i): self.i = i
            def __getattr__(self, name): return f"any {name}"
        class Row(list):
            def __getattr__(self, name): return "any"
        class Never:
            def __getattribute__(self, name): raise RuntimeError(name)
        p, s, row, never = P([1]), Slots([1]), Row([1]), Never()
        row.append(row)
        row.k = 1
        object.__setattr__(never, "x", 1)
        """,
        """
        assert p.count(1) == 1 and s.i == [1] and s.other == "any other" and s._j == "any _j" and row[1] is row and row.k == 1 and row.z == "any"
        assert object.__getattribute__(never, "x") == 1 and type(never) is Never
        """,
    ),
    "objects that let nobody set attributes": (
        "class P:\n    def __init__(self, x): self.__dict__['x'] = x\n    def __setattr__(self, n, v): raise TypeError('frozen')\np = P(1)",
        "assert p.x == 1",
    ),
    "a __new__ with keywords, with slots, with a base's, with a cache, of a generic class": (
        """
        from typing import Generic, TypeVar
        class K:
            def __new__(cls, *, a):
                made = object.__new__(cls)
                made.a = a
                return made
        class B:
            def __new__(cls, *a):
                made = super().__new__(cls)
                made.made = a
                return made
        class C(B):
            def __new__(cls, x): return super().__new__(cls, x, x)
        class S:
            __slots__ = ("a",)
            def __new__(cls, a):
                made = super().__new__(cls)
                made.a = a
                return made
        class Cached:
            known = {}
            def __new__(cls, k):
                if k not in cls.known: cls.known[k] = super().__new__(cls)
                return cls.known[k]
        T = TypeVar("T")
        class G(Generic[T]):
            def __new__(cls, a):
                made = super().__new__(cls)
                made.a = a
                return made
        k, c, s, one, two, g = K(a=1), C(1), S(1), Cached(1), Cached(2), G[int](1)
        """,
        "assert k.a == 1 and K(a=2).a == 2 and c.made == (1, 1) and s.a == 1 and Cached(1) is one and Cached(2) is two and g.a == 1",
    ),
    "__reduce__ by a lambda and by a dotted name, a state of None": (
        """
        class R:
            def __init__(self): self.f = lambda: 5
            def __reduce__(self): return (lambda k: R(), (1,))
        class Outer:
            class In:
                def __reduce__(self): return "Outer.it"
        Outer.it = Outer.In()
        class N:
            def __init__(self): self.x = 1
            def __getstate__(self): return None
            def __setstate__(self, state): self.x = "set"
        r, it, n = R(), Outer.it, N()
        """,
        "assert r.f() == 5 and it is Outer.it and getattr(n, 'x', 'set') == 'set'",
    ),
    "exceptions of libraries": (
        """
        import asyncio, json, subprocess, urllib.error
        found = []
        for act in (lambda: json.loads("{"), lambda: subprocess.run(["false"], check=True), lambda: open("/no/such")):
            try: act()
            except Exception as error: found.append(error)
        found += [urllib.error.HTTPError("u", 404, "no", {}, None), asyncio.TimeoutError("t"), UnicodeDecodeError("a", b"b", 0, 1, "r")]
        empty = SystemExit(), StopIteration(), GeneratorExit(), KeyboardInterrupt("k"), asyncio.CancelledError("c")
        """,
        """
        syntax, process, gone, http, late, text = found
        assert (syntax.pos, syntax.doc) == (1, "{") and process.returncode == 1 and (gone.filename, gone.errno) == ("/no/such", 2)
        assert http.code == 404 and late.args == ("t",) and text.start == 0
        assert empty[0].code is None and empty[1].value is None and empty[3].args == ("k",) and type(empty[4]) is asyncio.CancelledError
        """,
    ),
    "exceptions within their own arguments, and raised again": (
        """
        import threading
        first, second = ValueError(), KeyError([])
        first.args = (first,)
        second.args[0].append(second)
        class Held(Exception):
            __slots__ = ("a", "__weakref__")
        held = Held(1)
        held.a, held.b, held.lock = 2, 3, threading.Lock()
        try: int("x")
        except ValueError as error: kept = error
        """,
        """
        assert first.args[0] is first and second.args[0][0] is second and (held.a, held.b, held.args) == (2, 3, (1,)) and held.lock.acquire(False)
        try: raise kept
        except ValueError as again: assert again is kept and again.__traceback__ is not None
        """,
    ),
    "a number of decimals with attributes": (
        "import decimal\nclass D(decimal.Decimal):\n    def cents(self): return self * 100\nd = D('1.5')\nd.t = 1",
        "assert d.cents() == 150 and type(d) is D and d.t == 1",
    ),
    "a fraction with a slot": (
        "import fractions\nclass Part(fractions.Fraction):\n    __slots__ = ('unit',)\npart = Part(1, 3)\npart.unit = 'm'",
        "assert part * 3 == 1 and part.unit == 'm' and type(part) is Part",
    ),
    "a builtin method by way of super": (
        "class D(dict):\n    def get(self, k): return 'mine'\nd = D(a=1)\nget = super(D, d).get",
        "assert get('a') == 1 and d.get('a') == 'mine' and get.__self__ is d",
    ),
}

if sys.version_info >= (3, 11):
    CLASSES |= {
        "exception groups and notes": (
            """
            class Part(ValueError): pass
            group = ExceptionGroup("many", [Part(1), TypeError("t")])
            group.add_note("look here")
            class Mine(ExceptionGroup):
                def derive(self, excs): return Mine(self.message, excs)
            mine = Mine("mine", [Part(2)])
            """,
            """
            assert [type(e) for e in group.exceptions] == [Part, TypeError] and group.__notes__ == ["look here"]
            try: raise group
            except* Part as some: assert some.exceptions[0].args == (1,)
            except* TypeError: pass
            assert type(mine.subgroup(Part)) is Mine
            """,
        ),
        "StrEnum, verify, nonmember and property of enum": (
            """
            import enum
            class Mode(enum.StrEnum):
                FAST = enum.auto()
                @enum.property
                def nice(self): return self.value.title()
            class Strict(enum.Flag, boundary=enum.STRICT):
                A = 1
                B = 2
            class With(enum.Enum):
                X = 1
                helper = enum.nonmember(5)
            fast, strict = Mode.FAST, Strict.A | Strict.B
            """,
            """
            assert fast == "fast" and fast is Mode("fast") and fast.nice == "Fast" and strict == Strict(3) and With.helper == 5
            assert [m.name for m in With] == ["X"]
            try: Strict(8)
            except ValueError: pass
            else: raise AssertionError
            """,
        ),
        "Self, LiteralString, TypeVarTuple, Required and dataclass_transform": (
            """
            import typing
            from typing import Generic, NotRequired, Required, Self, TypedDict, TypeVarTuple, Unpack
            Ts = TypeVarTuple("Ts")
            class Array(Generic[Unpack[Ts]]):
                def me(self) -> Self: return self
            class Movie(TypedDict):
                year: NotRequired[int]
                name: Required[str]
            array = Array[int, str]()
            @typing.dataclass_transform()
            def model(cls): return cls
            """,
            "assert array.me() is array and Array.__parameters__ == (Ts,) and Movie.__optional_keys__ == {'year'} and model.__dataclass_transform__",
        ),
        "enum: a boundary that keeps, functions as members": (
            """
            import enum
            class K(enum.Flag, boundary=enum.KEEP):
                A = 1
            class Eject(enum.IntFlag, boundary=enum.EJECT):
                A = 1
            class Conform(enum.Flag, boundary=enum.CONFORM):
                A = 1
            class N(enum.Enum):
                @enum.member
                def f(): return 1
                @enum.nonmember
                def g(self): return 2
            k, f, out, a = K(9), N.f, Eject(8), Conform(3)
            """,
            """
            assert k.value == 9 and K.A in k and f is N.f and f.value() == 1 and f.g() == 2
            assert out == 8 and type(out) is int and Eject(9) == 9 and a is Conform.A is Conform(5)
            """,
        ),
        "enum: StrEnum with words and methods of its own": (
            """
            import enum
            class S(enum.StrEnum):
                A = enum.auto()
                B = "b"
                def __str__(self): return "X"
                @classmethod
                def _missing_(cls, value): return cls.B
            class R(int, enum.ReprEnum):
                ONE = 1
            a, table, r = S.A, {S.B: 1}, R.ONE
            """,
            "assert a + '!' == 'a!' and str(a) == 'X' and a is S('a') and S('zzz') is S.B and table['b'] == 1 and next(iter(table)) is S.B and r is R(1)",
        ),
        "enum: with a dataclass as its type": (
            """
            import enum
            from dataclasses import dataclass
            @dataclass
            class Point:
                x: int
                y: int = 2
            class Place(Point, enum.Enum):
                HERE = 1
                THERE = 5, 6
            there = Place.THERE
            """,
            "assert (there.x, there.y) == (5, 6) and there is Place.THERE and Place.HERE.y == 2",
        ),
        "dataclasses with slots for weak references": (
            """
            import weakref
            from dataclasses import dataclass
            @dataclass(slots=True, weakref_slot=True)
            class D:
                x: int
            d = D(1)
            r = weakref.ref(d)
            """,
            "assert r() is d and not hasattr(d, '__dict__') and d == D(1)",
        ),
    }
if sys.version_info >= (3, 12):
    CLASSES |= {
        "type parameters of functions and classes": (
            """
            class Box[T]:
                def __init__(self, value: T): self.value = value
                def map[R](self, f: "Callable[[T], R]") -> "Box[R]": return Box(f(self.value))
            def first[T: (int, str)](items: list[T]) -> T: return items[0]
            class Child(Box[int]): pass
            box, child = Box(2), Child(3)
            """,
            """
            assert box.map(str).value == "2" and first([1]) == 1 and child.value == 3
            assert Box.__type_params__[0].__name__ == "T"
            assert Child.__orig_bases__ == (Box[int],)
            """,
        ),
        "a generic dataclass of new syntax": (
            """
            from dataclasses import dataclass
            @dataclass
            class D[T]:
                x: T
                others: list[T] = None
            d = D[int](1)
            """,
            "assert d == D(1) and D.__parameters__ == D.__type_params__",
        ),
        "type aliases of new syntax": (
            """
            class Node: pass
            type Pair[A] = tuple[A, A]
            type Nodes = list[Node]
            ints, nodes = Pair[int], Nodes
            """,
            "assert ints.__args__ == (int,) and ints.__origin__ is Pair and Pair.__type_params__[0].__name__ == 'A' and Nodes.__value__ == list[Node]\n"
            "assert nodes is Nodes and Nodes.__name__ == 'Nodes' and Pair.__value__.__origin__ is tuple",
        ),
        "functions of new syntax keep their type parameters": (
            """
            from typing import Callable
            class A: pass
            def first[T: (int, str)](items: list[T]) -> T: return items[0]
            def bounded[T: A, *Ts, **P](x: T, f: Callable[P, T], *rest: *Ts) -> T: return x
            """,
            """
            T, Ts, P = bounded.__type_params__
            assert first.__type_params__[0].__constraints__ == (int, str) and T.__bound__ is A and (Ts.__name__, P.__name__) == ("Ts", "P")
            assert first([1]) == 1 and first.__annotations__["return"] is first.__type_params__[0]
            """,
        ),
    }
