"""Which objects are the same one, what holds itself, and how deep data may be."""

DATA = {
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
    "recursive data of every kind": (
        """
        class N: pass
        n, d, l = N(), {}, []
        n.me, n.d, d["n"], d["l"], d["d"] = n, d, n, l, d
        l += [n, d, l, (l, n)]
        t = (l,)
        l.append(t)
        """,
        "assert n.me is n and n.d is d and d['n'] is n and d['l'] is l and d['d'] is d and l[2] is l and l[3][0] is l and l[4] is t and t[0] is l",
    ),
    "keys that hold their dict": (
        """
        class K:
            def __init__(self, name): self.name, self.owner = name, None
            def __hash__(self): return hash(self.name)
            def __eq__(self, other): return self.name == other.name
        table = {}
        for name in "ab":
            k = K(name)
            k.owner = table
            table[k] = name
        first = next(iter(table))
        """,
        "assert table[K('a')] == 'a' and first.owner is table and table[first] == first.name",
    ),
    "a large dict and a set of tuples": (
        "table = {n: str(n) for n in range(20_000)}\ngroup = {(n, str(n)) for n in range(5_000)}",
        "assert table[19_999] == '19999' and len(group) == 5_000 and (7, '7') in group",
    ),
    "strings and small tuples that are one object": (
        "text = 'a long text that is not interned ' * 3\nrows = [text, text, (1, text)]\nkey = rows[2]\nsame = [key, key]",
        "assert rows[0] is rows[1] is rows[2][1] is text and same[0] is same[1] is key is rows[2]",
    ),
    "None, True and singletons of types": (
        "a = [None, True, ..., NotImplemented, int, type(None), type(...), type(len)]",
        "assert a == [None, True, ..., NotImplemented, int, type(None), type(...), type(len)]",
    ),
    "types of the interpreter": (
        "import types\nkinds = [types.FunctionType, types.MethodType, types.GeneratorType, types.CodeType, types.ModuleType, type({}.keys()), types.UnionType]",
        "import types\nassert kinds == [types.FunctionType, types.MethodType, types.GeneratorType, types.CodeType, types.ModuleType, type({}.keys()), types.UnionType]",
    ),
    "containers of every kind that hold themselves": (
        """
        import functools, types
        from collections import OrderedDict, defaultdict, deque
        class Box: pass
        line, table, box, spare = deque(), OrderedDict(), types.SimpleNamespace(), defaultdict(lambda: spare)
        member, part, error, tools = Box(), functools.partial(print), ValueError(), types.ModuleType("tools")
        group = frozenset([member])
        line.append(line)
        table["me"], box.me, member.group, part.me, error.me, tools.me = table, [box], group, part, error, [tools]
        """,
        """
        assert line[0] is line and table["me"] is table and box.me[0] is box and spare["x"] is spare and part.me is part
        assert member.group is group and member in group and error.me is error and tools.me[0] is tools
        """,
    ),
    "functions and classes that hold themselves": (
        """
        seen = []
        def by_default(x=seen): return x
        seen.append(by_default)
        def by_keyword(*, me=None): return me
        by_keyword.__kwdefaults__ = {"me": by_keyword}
        class A:
            def up(self): return super().__init__
        A.me, A.made, A.prop = A, A(), property(lambda self: A)
        A.made.kind = A
        """,
        """
        assert by_default()[0] is by_default and by_keyword() is by_keyword and A.me is A and A.made.kind is A
        assert A().prop is A and A.made.up() is not None
        """,
    ),
    "keys of every kind": (
        """
        def f(): pass
        class C: pass
        c = C()
        table = {(1, "a", None): 1, frozenset({1}): 2, 1.5: 3, True: 4, b"x": 5, ...: 6, int: 7, len: 8, f: 9, C: 10, c: 11}
        """,
        """
        assert [table[k] for k in ((1, "a", None), frozenset({1}), 1.5, 1, b"x", ..., int, len, f, C, c)] == list(range(1, 12))
        """,
    ),
    "large buffers under two names": (
        """
        import array
        text, raw, numbers = b"x" * 200_000, bytearray(200_000), array.array("d", [1.0]) * 100_000
        twice = [text, text, raw, numbers]
        """,
        """
        raw[0] = numbers[0] = 7
        assert twice[0] is twice[1] is text and twice[2][0] == 7 and twice[3] is numbers and numbers[0] == 7
        """,
    ),
    "a number of ten thousand digits and a text of a million": (
        "n, text = 3**20_000, 'é' * 1_000_000",
        "assert n == 3**20_000 and len(text) == 1_000_000 and set(text) == {'é'}",
    ),
}
