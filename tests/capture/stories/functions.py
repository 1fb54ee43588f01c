"""Functions of the session, of each kind, in the job."""

FUNCTIONS = {
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
    "an async generator function": (
        """
        step = 2
        async def count(n):
            for k in range(n): yield k * step
        """,
        "assert [k async for k in count(3)] == [0, 2, 4]",
    ),
    "closures over a loop's variable": (
        """
        late = [lambda: k for k in range(3)]
        early = [lambda k=k: k for k in range(3)]
        """,
        "assert [f() for f in late] == [2, 2, 2] and [f() for f in early] == [0, 1, 2]",
    ),
    "a decorator that counts calls in an attribute of its wrapper": (
        """
        import functools
        def counted(f):
            @functools.wraps(f)
            def wrapper(*a):
                wrapper.calls += 1
                return f(*a)
            wrapper.calls = 0
            return wrapper
        @counted
        def down(n): return n if n == 0 else down(n - 1)
        down(2)
        """,
        "down(4)\nassert down.calls == 8 and down.__wrapped__.__name__ == 'down'",
    ),
    "a decorator that is an instance": (
        """
        class Memo:
            def __init__(self, f): self.f, self.known = f, {}
            def __call__(self, x):
                if x not in self.known: self.known[x] = self.f(x)
                return self.known[x]
        @Memo
        def square(x): return x * x
        square(3)
        """,
        "assert square.known == {3: 9} and square(4) == 16 and len(square.known) == 2",
    ),
    "a function whose code was exchanged": (
        """
        def f(x): return x
        def other(x): return x + 100
        f.__code__ = other.__code__
        """,
        "assert f(1) == 101 and f.__name__ == 'f'",
    ),
    "defaults that were changed afterwards": (
        """
        def f(a, b=1, *, c=2): return a, b, c
        f.__defaults__, f.__kwdefaults__ = (7, 8), {"c": 9}
        """,
        "assert f() == (7, 8, 9)",
    ),
    "a default that is changed in place": (
        """
        def note(x, seen=[]):
            seen.append(x)
            return seen
        note(1)
        """,
        "assert note(2) == [1, 2] and note(3) is note.__defaults__[0]",
    ),
    "a default that is the session's own list": (
        "known = [1]\ndef f(x=known): return x",
        "known.append(2)\nassert f() is known and f() == [1, 2]",
    ),
    "a function that holds itself in an attribute": ("def f(): return f.me\nf.me = f", "assert f() is f is f.me.me"),
    "a function under two names": ("def f(): return 1\ng = f", "assert f is g and g.__name__ == 'f'"),
    "an older function of the same name": (
        """
        def f(): return "old"
        old = f
        def f(): return "new"
        """,
        "assert (old(), f()) == ('old', 'new') and old is not f",
    ),
    "an older function that calls itself by its name": (
        """
        def f(n): return "old"
        old = f
        def f(n): return old(n) + " under new"
        """,
        "assert f(1) == 'old under new'",
    ),
    "a name and a qualified name given by hand": (
        "def f(): pass\nf.__name__, f.__qualname__ = 'nice', 'Very.nice'",
        "assert (f.__name__, f.__qualname__) == ('nice', 'Very.nice')",
    ),
    "a __module__ given by hand": (
        "def f(): return 1\nf.__module__ = 'elsewhere'\nclass C: pass\nC.__module__ = 'elsewhere.too'\nc = C()",
        "assert f() == 1 and f.__module__ == 'elsewhere' and type(c) is C and C.__module__ == 'elsewhere.too'",
    ),
    "a signature given by hand": (
        """
        import inspect
        def f(*args, **kwargs): return args, kwargs
        f.__signature__ = inspect.signature(lambda a, *, b=1: None)
        """,
        "import inspect\nassert str(inspect.signature(f)) == '(a, *, b=1)'",
    ),
    "a recursive closure": (
        """
        def make():
            def fact(n): return 1 if n < 2 else n * fact(n - 1)
            return fact
        fact = make()
        """,
        "assert fact(5) == 120",
    ),
    "three levels of closures": (
        """
        def a(x):
            def b(y):
                def c(z):
                    nonlocal x
                    x += 1
                    return x, y, z
                return c
            return b
        c = a(1)(2)
        c(0)
        """,
        "assert c(3) == (3, 2, 3)",
    ),
    "a lambda in a class's body and a comprehension in it": (
        """
        base = 10
        class C:
            add = lambda self, x: x + base
            table = [base + k for k in range(2)]
            by_name = {"f": lambda x: x * base}
        c = C()
        """,
        "assert c.add(1) == 11 and C.table == [10, 11] and C.by_name['f'](2) == 20",
    ),
    "functools: reduce, partial of a partial": (
        """
        import functools
        def add(a, b, c): return a + b + c
        one = functools.partial(functools.partial(add, 1), b=2)
        total = functools.partial(functools.reduce, lambda a, b: add(a, b, 5))
        one.note = "n"
        """,
        """
        assert one(c=3) == 6 and one.note == "n"
        assert total([1, 2]) == 8
        """,
    ),
    "singledispatchmethod": (
        """
        from functools import singledispatchmethod
        class Show:
            @singledispatchmethod
            def show(self, x): return "any"
            @show.register
            def _(self, x: int): return "int"
            @show.register(list)
            def _(self, x): return "list"
        s = Show()
        """,
        """
        assert (s.show("a"), s.show(1), s.show([])) == ("any", "int", "list")
        @Show.show.register
        def _(self, x: bytes): return "bytes"
        assert s.show(b"") == "bytes"
        """,
    ),
    "singledispatch goes on being registered with": (
        """
        from functools import singledispatch
        class Base: pass
        class Child(Base): pass
        @singledispatch
        def name(x): return "object"
        @name.register
        def _(x: Base): return "base"
        name(Child())
        """,
        """
        assert name(Child()) == "base"
        @name.register(Child)
        def _(x): return "child"
        assert name(Child()) == "child" and name(Base()) == "base"
        """,
    ),
    "a cache without a limit, and a method's cache": (
        """
        import functools
        calls = []
        @functools.cache
        def f(x):
            calls.append(x)
            return x
        class C:
            @functools.lru_cache
            def m(self, x): return x + 1
        c = C()
        """,
        "assert f(1) == f(1) == 1 and calls == [1] and c.m(1) == 2 and C.m.cache_info().misses == 1",
    ),
    "total_ordering": (
        """
        import functools
        @functools.total_ordering
        class V:
            def __init__(self, n): self.n = n
            def __eq__(self, other): return self.n == other.n
            def __lt__(self, other): return self.n < other.n
        small, large = V(1), V(2)
        """,
        "assert large >= small and max([small, large]) is large",
    ),
    "a function with an annotation that is a class of the session": (
        """
        class Item: pass
        def f(x: Item) -> "Item": return x
        """,
        """
        import typing
        assert typing.get_type_hints(f) == {"x": Item, "return": Item}
        """,
    ),
    "functions from an exec in a namespace share it": (
        """
        own = {}
        exec('''
        count = 0
        def up():
            global count
            count += 1
        def value(): return count
        '''.replace("\\n        ", "\\n"), own)
        up, value = own["up"], own["value"]
        up()
        """,
        "up()\nassert value() == 2",
    ),
    "a function of types.FunctionType": (
        """
        import types
        def f(): return where
        where = "here"
        g = types.FunctionType(f.__code__, {"where": "there"}, "g")
        """,
        "assert f() == 'here' and g() == 'there'",
    ),
    "a function that calls exec and eval": (
        """
        rate = 3
        def f(x):
            local = {}
            exec("y = x * rate", globals(), local | {"x": x})
            return eval("x * rate")
        """,
        "assert f(2) == 6",
    ),
    "a function that asks for globals by name": (
        """
        table = {"a": 1}
        def get(name): return globals()[name]
        def both(): return get("table"), table
        """,
        "a, b = both()\nassert a is b",
    ),
    "a static method and a class method taken from their class": (
        """
        class C:
            n = 1
            @classmethod
            def make(cls): return cls.n
            @staticmethod
            def add(a, b): return a + b
        make, add, s = C.make, C.add, staticmethod(lambda: 4)
        """,
        "C.n = 5\nassert make() == 5 and add(1, 2) == 3 and s.__func__() == 4 and make.__self__ is C",
    ),
    "static and class methods with attributes": (
        """
        class C:
            @staticmethod
            def f(): "Says one."; return 1
            f.__func__.tag = "t"
        """,
        "assert C.f.tag == 't' and C.f.__doc__ == 'Says one.'",
    ),
    "bound methods of builtins' instances": (
        "seen = []\nnote = seen.append\nlook = {'a': 1}.get\njoin = ', '.join",
        "note(1)\nassert seen == [1] and look('a') == 1 and join('ab') == 'a, b'",
    ),
    "unbound methods, slot wrappers and descriptors of builtins": (
        """
        upper, add, length, real, fromkeys = str.upper, int.__add__, list.__len__, (3).__add__, dict.fromkeys
        imag, keys = complex.imag, dict.__dict__["fromkeys"]
        """,
        "assert upper('a') == 'A' and add(1, 2) == 3 and length([1]) == 1 and real(4) == 7 and fromkeys('a') == {'a': None}\n"
        "assert imag.__get__(2j) == 2.0",
    ),
    "operators": (
        """
        import operator
        get, call, item = operator.attrgetter("real", "imag"), operator.methodcaller("replace", "a", ""), operator.itemgetter(1, 0)
        """,
        "assert get(1 + 2j) == (1.0, 2.0) and call('banana') == 'bnn' and item('ab') == ('b', 'a')",
    ),
    "an asynccontextmanager": (
        """
        import contextlib
        log = []
        @contextlib.asynccontextmanager
        async def entered():
            log.append("in")
            yield 3
            log.append("out")
        """,
        "async with entered() as value: assert value == 3\nassert log == ['in', 'out']",
    ),
    "a coroutine function that uses asyncio objects": (
        """
        import asyncio
        async def work(n):
            await asyncio.sleep(0)
            return n * 2
        async def many(): return await asyncio.gather(*(work(n) for n in range(3)))
        """,
        "assert await many() == [0, 2, 4]\nassert asyncio.iscoroutinefunction(work)",
    ),
    "mutual recursion through a dict": (
        """
        rules = {}
        def expression(n): return rules["term"](n - 1) if n else "end"
        def term(n): return rules["expression"](n)
        rules.update(expression=expression, term=term)
        """,
        "assert rules['term'](4) == 'end' and rules['term'] is term",
    ),
    "nested functions with the same name as globals": (
        """
        x = "global"
        def outer():
            x = "outer"
            def inner():
                class C:
                    x = "class"
                    def m(self): return x
                return C().m(), C.x
            return inner
        inner = outer()
        """,
        "assert inner() == ('outer', 'class') and x == 'global'",
    ),
    "__class__ in a method's cell": (
        """
        class A:
            def me(self): return __class__
        class B(A): pass
        me = B().me
        """,
        "assert me() is A",
    ),
    "a method put into a class afterwards": (
        """
        class C:
            def __init__(self): self.n = 2
        def double(self): return self.n * 2
        C.double, C.half = double, lambda self: self.n / 2
        C.prop = property(double)
        c = C()
        """,
        "assert (c.double(), c.half(), c.prop) == (4, 1.0, 4) and C.double is double",
    ),
    "a builtin replaced by the session": (
        "def print(*a): return 'mine', a\ndef say(): return print(1)",
        "assert say() == ('mine', (1,)) and print(2)[0] == 'mine'",
    ),
    "a global of a name with umlauts": (
        "größe = 3\ndef fläche(): return größe**2\nclass Maß: wert = größe",
        "assert fläche() == 9 and Maß.wert == 3",
    ),
    "a traceback of functions of two cells": (
        """
        def first():
            return 1 / zero
        # ---
        zero = 0
        def second():
            return first()
        """,
        """
        import traceback
        try: second()
        except ZeroDivisionError: words = traceback.format_exc()
        assert "return first()" in words and "return 1 / zero" in words
        """,
    ),
    "a function of a file that was executed with %run": (
        """
        with open("{scratch}/tools.py", "w") as file:
            print("factor = 6\\ndef times(x): return x * factor\\nclass Kept:\\n    def get(self): return times(1)\\nkept = Kept()", file=file)
        %run {scratch}/tools.py
        """,
        """
        assert times(2) == 12 and kept.get() == 6 and type(kept) is Kept
        """,
    ),
    "a function of a file that was executed with %run -i": (
        """
        factor = 2
        with open("{scratch}/inner.py", "w") as file:
            print("def times(x): return x * factor", file=file)
        %run -i {scratch}/inner.py
        """,
        "factor = 5\nassert times(2) == 10",
    ),
    "doctests and docstrings": (
        '''
        def add(a, b):
            """Add.

            >>> add(1, 2)
            3
            """
            return a + b
        ''',
        "import doctest\nassert doctest.run_docstring_examples(add, {'add': add}) is None and add.__doc__.startswith('Add.')",
    ),
    "inspect finds the source of a method": (
        """
        class Shape:
            def area(self):
                return 1
        """,
        "import inspect\nassert 'return 1' in inspect.getsource(Shape.area)",
    ),
    "a frozenset and other constants in code": (
        "def f(x): return x in {1, 2.5, 'a', None}, (1, (2, 3)), ..., 1j, b'b'",
        "assert f(2.5) == (True, (1, (2, 3)), ..., 1j, b'b')",
    ),
    "star arguments, positional-only arguments": (
        "def f(a, /, b, *c, d=4, **e): return a, b, c, d, e",
        "assert f(1, 2, 3, x=5) == (1, 2, (3,), 4, {'x': 5})\nimport inspect\nassert str(inspect.signature(f)) == '(a, /, b, *c, d=4, **e)'",
    ),
    "type comments, walrus and match in functions": (
        """
        from dataclasses import dataclass
        @dataclass
        class P:
            x: int
            y: int
        def where(p):
            match p:
                case P(0, 0): return "origin"
                case P(x=0): return "axis"
                case [P(), *rest] if (n := len(rest)): return n
                case {"p": P(x, y)}: return x + y
                case _: return None
        """,
        "assert [where(v) for v in (P(0, 0), P(0, 1), [P(1, 1), 2], {'p': P(3, 4)}, 5)] == ['origin', 'axis', 1, 7, None]",
    ),
    "a closure's variable that was changed from outside": (
        """
        def make():
            n = 1
            def f(): return n
            return f
        f = make()
        f.__closure__[0].cell_contents = 5
        """,
        "assert f() == 5",
    ),
    "decorators one above the other": (
        """
        import functools
        def traced(f):
            @functools.wraps(f)
            def wrapper(*a): return f(*a)
            return wrapper
        @traced
        @traced
        @functools.lru_cache
        def g(x): return x
        inner = g.__wrapped__
        """,
        "assert g(2) == 2 and inner is g.__wrapped__ and inner.__wrapped__.cache_info().currsize == 1",
    ),
    "functions that import, set and delete globals": (
        """
        def basename(path):
            import json
            from os import path as p
            return json.dumps(p.basename(path))
        level = 1
        def drop():
            global level
            del level
        """,
        "assert basename('/a/b') == '\"b\"' and level == 1\ndrop()\nassert 'level' not in globals()",
    ),
    "two namespaces of exec that have the same names": (
        """
        a, b = {"n": 1}, {"n": 2}
        exec("def f(): return n", a)
        exec("def f(): return n", b)
        f, g = a["f"], b["f"]
        """,
        "assert (f(), g()) == (1, 2)",
    ),
    "bound methods that no name of their class leads to": (
        """
        import types
        def deco(f):
            def wrapper(self): return f(self) + 1
            return wrapper
        def named(self): return "own"
        class C:
            @deco
            def go(self): return 1
            def __hidden(self): return "hidden"
            def get(self): return self.__hidden
            short = lambda self: "lambda"
            def named(self): return "class"
        c = C()
        c.free = types.MethodType(lambda self: (7, self), c)
        decorated, hidden, short, foreign = c.go, c.get(), c.short, types.MethodType(named, c)
        """,
        """
        assert (decorated(), hidden(), short(), foreign(), c.named()) == (2, "hidden", "lambda", "own", "class")
        assert c.free()[0] == 7 and c.free()[1] is c and all(m.__self__ is c for m in (decorated, hidden, short, foreign))
        """,
    ),
    "bound methods of a base that the class overrides": (
        """
        class A:
            def f(self): return "A"
        class B(A):
            def f(self): return "B"
            def up(self): return super().f
        b = B()
        inherited, by_hand, through = super(B, b).f, A.f.__get__(b), b.up()
        """,
        "assert (inherited(), by_hand(), through(), b.f()) == ('A', 'A', 'A', 'B') and inherited.__self__ is b",
    ),
    "objects and classes that hold their own methods": (
        """
        class A:
            def __init__(self): self.back = self.go
            def go(self): return self
        a = A()
        a.handlers = {"go": a.go, a.go: 1}
        A.made = A()
        A.made.bound = A.made.go
        make = a.back
        """,
        """
        assert a.back() is a.handlers["go"]() is make() is a and a.handlers[a.go] == 1
        assert A.made.bound() is A.made.back() is A.made and A.made.bound.__func__ is A.go
        """,
    ),
    "a docstring that was taken away": ('def f():\n    "doc"\nf.__doc__ = None', "assert f.__doc__ is None"),
    "functions with builtins of their own": (
        "own = {'__builtins__': {'len': lambda x: 42}}\nexec('def f(): return len(1)', own)\nf = own['f']",
        "assert f() == 42 and len('a') == 1",
    ),
    "functions of an exec and the dict that they were made in": (
        "own = {}\nexec('count = 1\\ndef value(): return count', own)\nvalue = own['value']",
        "own['count'] = 5\nassert value() == 5 and value.__globals__ is own and own['value'] is value",
    ),
    "methods of the hidden generators of random and numpy": (
        """
        import random
        from random import random as one, seed as reseed
        from numpy.random import rand, seed
        """,
        """
        import random
        random.seed(1); a = one(); reseed(1)
        assert one() == a and one.__self__ is random._inst
        seed(1); b = rand(); seed(1)
        assert rand() == b
        """,
    ),
    "a name that a function makes global": (
        "def put():\n    global fresh\n    fresh = 5",
        "put()\nassert fresh == 5",
    ),
    "methods made of a callable object and of a builtin": (
        """
        import types
        class Call:
            def __call__(self, me, x): return me, x
        call = Call()
        bound, length = types.MethodType(call, 5), types.MethodType(len, "abc")
        """,
        "assert bound(3) == (5, 3) and bound.__func__ is call and length() == 3",
    ),
    "methods of generators, coroutines, caches and iterators": (
        """
        import functools
        class C:
            def g(self): yield self
            async def a(self): return self
            def __iter__(self): return iter([1])
            @functools.lru_cache
            def m(self): return 1
        c = C()
        g, a, it, m = c.g, c.a, c.__iter__, c.m
        """,
        "assert list(g()) == [c] and await a() is c and list(it()) == [1] and m() == 1 and m.__self__ is c",
    ),
    "methods of objects that are equal to everything": (
        """
        class C:
            def __eq__(self, other): return True
            __hash__ = None
            def m(self): return 1
        c, d = C(), C()
        methods, unbound = [c.m, d.m, c.m], C.m
        """,
        "assert methods[0].__self__ is c is methods[2].__self__ and methods[1].__self__ is d and unbound is C.m",
    ),
}
