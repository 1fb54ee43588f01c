"""What belongs to the session's process and is refused.

Each story: the set-up, the cell, the path to what cannot be written (… stands for a library's own attributes), and a
word of the reason.
"""

REFUSED = {
    "a file open for reading": ("log = open('{scratch}/data.txt')", "log.read()", "log", "open file"),
    "a file open for writing": ("out = open('{scratch}/written.txt', 'w')", "out.write('x')", "out", "open file"),
    "a binary file": ("raw = open('{scratch}/data.txt', 'rb')", "raw.read()", "raw", "open file"),
    "a socket": ("import socket\ns = socket.socket()", "s.close()", "s", "socket"),
    "a child process": ("import subprocess\np = subprocess.Popen(['true'])\np.wait()", "p.returncode", "p", "Popen"),
    "a generator": ("g = (n for n in range(3))", "list(g)", "g", "generator"),
    "a coroutine": ("async def f(): pass\nc = f()", "await c", "c", "coroutine"),
    "a database": ("import sqlite3\ndb = sqlite3.connect(':memory:')", "db.execute('')", "db", "a database connection"),
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
        "a database connection",
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
        "a database connection",
    ),
    "one culprit behind much that is fine": (
        "data = [[n, str(n), {'n': n}] for n in range(2000)]\ndata[1234][2]['file'] = open('/dev/null')",
        "data",
        "data[1234][2]['file']",
        "open file",
    ),
    "a frame and a traceback": ("import sys\nframe = sys._getframe()", "frame.f_lineno", "frame", "frame"),
    "a traceback": (
        "try: 1 / 0\nexcept ZeroDivisionError as error: trace = error.__traceback__",
        "trace.tb_lineno",
        "trace",
        "traceback",
    ),
    "a future of an event loop": (
        "import asyncio\nloop = asyncio.new_event_loop()\nfuture = loop.create_future()",
        "future.done()",
        "future",
        "Future",
    ),
    "an event loop": ("import asyncio\nloop = asyncio.new_event_loop()", "loop.close()", "loop…", ""),
    "an async generator": (
        "async def count(): yield 1\nsteps = count()",
        "async for step in steps: pass",
        "steps",
        "async_generator",
    ),
    "a pool of processes": (
        "import multiprocessing\npool = multiprocessing.get_context('fork').Pool(1)",
        "pool.map(abs, [1])",
        "pool",
        "processes of this session",
    ),
    "a process executor": (
        "from concurrent.futures import ProcessPoolExecutor\npool = ProcessPoolExecutor(1)",
        "pool.submit(int)",
        "pool…",
        "",
    ),
    "a queue between processes": (
        "import multiprocessing\nqueue = multiprocessing.Queue()",
        "queue.put(1)",
        "queue",
        "Queue",
    ),
    "a lock between processes": ("import multiprocessing\nlock = multiprocessing.Lock()", "lock.acquire()", "lock", "Lock"),
    "a value shared between processes": (
        "import multiprocessing\nvalue = multiprocessing.Value('i', 3)",
        "value.value",
        "value…",
        "",
    ),
    "a security context": (
        "import ssl\ncontext = ssl.create_default_context()",
        "context.check_hostname",
        "context",
        "SSLContext",
    ),
    "a temporary file": (
        "import tempfile\nscratch = tempfile.NamedTemporaryFile()",
        "scratch.name",
        "scratch",
        "open file",
    ),
    "an archive that is being written": (
        "import zipfile\narchive = zipfile.ZipFile('{scratch}/a.zip', 'w')",
        "archive.namelist()",
        "archive",
        "open archive",
    ),
    "a cursor and a row of a database": (
        "import sqlite3\nrows = [sqlite3.connect(':memory:').execute('select 1')]",
        "rows[0].fetchone()",
        "rows[0]",
        "a database connection",
    ),
    "a match of a pattern": ("import re\nfound = re.match('(a)b', 'ab')", "found[1]", "found", "re.Match"),
    "a hash that is being computed": ("import hashlib\nsha = hashlib.sha256(b'x')", "sha.hexdigest()", "sha", "HASH"),
    "a listing of a folder": ("import os\nlisting = os.scandir('.')", "list(listing)", "listing", "ScandirIterator"),
    "a reader of tables": ("import csv\nrows = {'r': csv.reader(['a,b'])}", "list(rows['r'])", "rows['r']", "_csv.reader"),
    "a universal function made of a Python one": (
        "import numpy as np\nplus = np.frompyfunc(lambda x, y: x + y, 2, 1)",
        "plus(1, 2)",
        "plus",
        "ufunc",
    ),
    "a function decorated by a context manager": (
        """
        import contextlib
        @contextlib.contextmanager
        def entered(): yield
        @entered()
        def inside(): return 1
        """,
        "inside()",
        "inside.<closure self>.gen",
        "generator",
    ),
    "a file in a partial": (
        "import functools\nsay = functools.partial(print, file=open('/dev/null', 'w'))",
        "say(1)",
        "say['file']",
        "open file",
    ),
    "a file in a named tuple": (
        "from typing import NamedTuple\nclass Run(NamedTuple):\n    name: str\n    log: object\nrun = Run('a', open('/dev/null'))",
        "run.name",
        "run[1]",
        "open file",
    ),
    "a file in a set of objects": (
        "class Box: pass\nbox = Box()\nbox.file = open('/dev/null')\nboxes = {box}",
        "len(boxes)",
        "boxes.<an element>.file",
        "open file",
    ),
    "a file in a column": (
        "import pandas as pd\nframe = pd.DataFrame({'a': [1], 'f': [open('/dev/null')]})",
        "frame['a']",
        "frame…",
        "open file",
    ),
    "a file in a step of a pipeline": (
        """
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer
        log = open("/dev/null", "w")
        def noted(x): return x, log
        pipeline = make_pipeline(FunctionTransformer(noted))
        """,
        "pipeline.steps",
        "pipeline.steps[0][1].func → global log",
        "open file",
    ),
    "a file in a class's metaclass": (
        "class Meta(type):\n    log = open('/dev/null')\nclass C(metaclass=Meta): pass\nc = C()",
        "c",
        "c.__class__.__class__.log",
        "open file",
    ),
    "a file that a method reads": (
        "log = open('/dev/null')\nclass C:\n    def go(self): return log.read()\nc = C()",
        "c.go()",
        "log",
        "open file",
    ),
    "a __reduce__ that raises": (
        "class C:\n    def __reduce__(self): raise RuntimeError('not me')\nitems = [1, C()]",
        "items[0]",
        "items[1]",
        "not me",
    ),
    "a __getstate__ that raises": (
        "class C:\n    def __getstate__(self): raise OSError(5, 'gone')\nitems = {'c': C()}",
        "items['c']",
        "items['c']",
        "gone",
    ),
    "a file in a module made at run time": (
        "import types\ntools = types.ModuleType('tools')\ntools.log = open('/dev/null')",
        "tools.log",
        "tools.log",
        "open file",
    ),
    "a file in an environment of closures": (
        """
        def outer():
            log = open("/dev/null")
            def middle():
                def inner(): return log
                return inner
            return middle
        middle = outer()
        """,
        "middle()",
        "middle.<closure log>",
        "open file",
    ),
    "a thread that runs": (
        "import threading\nstop = threading.Event()\nt = threading.Thread(target=stop.wait, daemon=True)\nt.start()",
        "t.is_alive()",
        "t",
        "running",
    ),
    "a file in a default factory": (
        "from collections import defaultdict\nsource = open('/dev/null')\nlines = defaultdict(lambda: source.read())",
        "lines[0]",
        "lines.default_factory → global source",
        "open file",
    ),
    "a slider": (
        "import ipywidgets\ns = ipywidgets.IntSlider(value=3)",
        "s.value",
        "s…",
        "",
    ),
    "a generator in an object array": (
        "import numpy as np\ncells = np.array([None, None], dtype=object)\ncells[1] = (n for n in 'ab')",
        "cells",
        "cells[1]",
        "generator",
    ),
    "a file in an exception": ("error = ValueError('x', open('/dev/null'))", "error.args", "error.args[1]", "open file"),
    "a file in a base class": (
        "class A:\n    log = open('/dev/null')\nclass B(A): pass\nb = B()",
        "b",
        "b.__class__.__bases__[0].log",
        "open file",
    ),
    "a file in what an exception was raised from": (
        "error = ValueError('x')\nerror.__cause__ = KeyError(open('/dev/null'))",
        "error",
        "error.__cause__.args[0]",
        "open file",
    ),
}
