"""What only a notebook has: magics, results of earlier cells, files made by cells."""

NOTEBOOK = {
    "results of earlier cells: _, __, Out, In, _i": (
        """
        21 * 2
        # ---
        [1, 2]
        """,
        "assert _ == [1, 2] and __ == 42 and Out[1] == 42 and _1 == 42 and 'In' and In[1].strip() == '21 * 2' and _i1.strip() == '21 * 2'",
    ),
    "magics and commands in the cell": (
        "n, words = 3, ['a', 'b']",
        """
        lines = !echo {n} $words
        %time total = n + 1
        assert lines == ["3 [a, b]"] and total == 4
        assert lines.s.startswith("3")
        """,
    ),
    "an SList of the session": (
        "lines = !printf 'a 1\\nb 2\\n'",
        "assert lines == ['a 1', 'b 2'] and lines.fields(1) == ['1', '2'] and lines.n == 'a 1\\nb 2'",
    ),
    "what %%capture caught": (
        """
        %%capture caught
        print("hello")
        """,
        "assert caught.stdout == 'hello\\n'",
    ),
    "a question mark and a command in a function of the session": (
        """
        def here(name):
            out = !echo $name
            return out[0]
        """,
        "assert here('x') == 'x'",
    ),
    "get_ipython in a function": (
        "def shell(): return get_ipython()",
        "assert shell() is get_ipython() and shell().user_ns['shell'] is shell",
    ),
    "a magic of the session": (
        """
        from IPython.core.magic import register_line_magic
        rate = 2
        @register_line_magic
        def twice(line): return int(line) * rate
        """,
        "assert twice('4') == 8",
    ),
    "%alias and macros": ("%alias_magic t timeit\nx = 1", "assert x == 1"),
    "an IPython display object": (
        "from IPython.display import HTML, Markdown\npage = HTML('<b>x</b>')",
        "assert page.data == '<b>x</b>'",
    ),
    "%%writefile, then import": (
        """
        %%writefile {scratch}/local/written_.py
        def f(): return 9
        # ---
        import sys
        sys.path.insert(0, "{scratch}/local")
        import written_
        """,
        "assert written_.f() == 9",
    ),
    "%run of a script, and its functions": (
        """
        with open("{scratch}/script.py", "w") as file:
            print("import math\\nlevel = 3\\ndef f(): return math.floor(level + 0.5)\\nif __name__ == '__main__': ran = True", file=file)
        %run {scratch}/script.py
        level = 100
        """,
        "assert f() == 3 and ran and level == 100",
    ),
    "exec and eval with the session's globals": (
        "exec('made = 1\\ndef get(): return made', globals())\nvalue = eval('made + 1')",
        "assert get() == 1 and value == 2",
    ),
    "from module import *": (
        "from math import *\nfrom os.path import *",
        "assert sqrt(4) == 2 and pi > 3 and basename('/a/b') == 'b'",
    ),
    "names that are deleted, and names with underscores": (
        """
        _private, __dunder, a_b = 1, 2, 3
        def f(): return _private + __dunder + a_b
        gone = 4
        del gone
        """,
        "assert f() == 6 and 'gone' not in globals()",
    ),
    "names that hide what every session has": (
        "open = len\nexit = 5\ndef f(): return open('abc'), exit\ndisplay = 'mine'",
        "assert f() == (3, 5) and display == 'mine'",
    ),
    "a cell that defines what the session had": (
        "def f(): return 'old'\nclass C: tag = 'old'\nc = C()",
        """
        before = f()
        def f(): return "new"
        class C(C): tag = "new"
        assert (before, f(), c.tag, C().tag, isinstance(C(), type(c))) == ("old", "new", "old", "new", True)
        """,
    ),
    "a top-level await of the session's objects": (
        "import asyncio\nbase = 2\nasync def later(x):\n    await asyncio.sleep(0)\n    return x + base",
        "assert await later(1) == 3\nassert [x async for x in (await later(k) for k in range(2))] == [2, 3]",
    ),
    "annotations at top level": ("x: int = 3\ny: 'Later' = None\nclass Later: pass", "assert x == 3 and y is None"),
    "__name__, __file__ and __doc__": (
        "where = __name__\ndef name(): return __name__",
        "assert where == name() == __name__ == '__main__'",
    ),
    "a dataclass of the future": (
        """
        from __future__ import annotations
        # ---
        from dataclasses import dataclass
        @dataclass
        class Node:
            next: Node | None = None
        """,
        "def f(x: Undefined): pass\nassert Node(Node()).next == Node() and f.__annotations__ == {'x': 'Undefined'}",
    ),
    "the directory and the environment that magics set": (
        "%cd -q /\n%env LEVEL=7\nimport os\ndef where(): return os.getcwd(), os.environ['LEVEL']",
        "assert where() == ('/', '7')",
    ),
    "%time, %timeit -o and %who_ls in the cell": (
        "def f(): return 3",
        "%time value = f()\nrun = %timeit -o -n1 -r1 f()\nassert value == 3 and run.loops == 1",
    ),
    "%%time above the cell's code": ("def f(): return 3", "%%time\nvalue = f()\nassert value == 3"),
    "%run in the cell": (
        "with open('{scratch}/job_script.py', 'w') as file: print('made = 3', file=file)",
        "%run {scratch}/job_script.py\nassert made == 3",
    ),
    "an extension that the session has loaded": (
        "%load_ext autoreload\n%autoreload 2\nx = 1",
        "%autoreload 0\nassert x == 1 and 'IPython.extensions.autoreload' in get_ipython().extension_manager.loaded",
    ),
    "display and a semicolon": ("def show(x): display(x)\nx = 1", "show(x)\nx;"),
    "a help line": ("x = 5", "x?\nassert x == 5"),
    "the shell under a name": (
        "ip = get_ipython()",
        "assert ip is not None and ip is get_ipython() and ip.user_ns is globals()",
    ),
    "a copy of the globals": (
        "x = 1\ncopy = {k: v for k, v in globals().items() if not k.startswith('_')}",
        "assert copy['x'] == 1",
    ),
    "the session's module under another name": (
        "import __main__ as mm\nX = 1\ndef f(): return mm.X",
        "assert mm.X == 1 == f()\nmm.X = 3\nassert X == 3 == f()",
    ),
    "names of the session's module and globals": (
        "X = 1\nY = 2\nG = globals()\nimport __main__ as mm",
        "assert G['X'] == 1 and mm.Y == 2 and globals()['Y'] == 2",
    ),
    "the session's module, imported by the cell": ("X = 1", "from __main__ import X as y\nassert y == 1"),
    "the session's module, imported by a function": (
        "X = 1\ndef f():\n    import __main__\n    return __main__.X",
        "assert f() == 1",
    ),
}
