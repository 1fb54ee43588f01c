"""The session's objects of the standard library, and its modules, in the job."""

LIBRARY = {
    "C structures": (
        """
        import ctypes
        class Point(ctypes.Structure):
            _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]
        p, n, row = Point(1, 2.5), ctypes.c_int(7), (ctypes.c_int * 3)(1, 2, 3)
        """,
        "assert p.x + p.y == 3.5 and n.value == 7 and list(row) == [1, 2, 3] and type(p) is Point",
    ),
    "C structures with methods, unions and structures in structures": (
        """
        import ctypes
        class Point(ctypes.Structure):
            _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]
            def total(self): return self.x + self.y
        class Either(ctypes.Union):
            _fields_ = [("n", ctypes.c_int32), ("raw", ctypes.c_uint8 * 4)]
        class Line(ctypes.Structure):
            _fields_ = [("start", Point), ("end", Point)]
        p, either, line = Point(1, 2.5), Either(n=257), Line(Point(1, 2), Point(3, 4))
        """,
        "assert p.total() == 3.5 and list(either.raw)[:2] == [1, 1] and line.end.total() == 7 and type(line) is Line",
    ),
    "threads that are over or were not begun, and of one's own class": (
        """
        import threading
        over, new = threading.Thread(target=int), threading.Thread(target=int, name="new")
        over.start(); over.join()
        class Counting(threading.Thread):
            def __init__(self, count):
                super().__init__()
                self.count = count
            def run(self): self.count += 1
        own = Counting(4)
        """,
        """
        assert not over.is_alive() and not new.is_alive() and new.name == "new"
        over.join(); new.start(); new.join(); own.start(); own.join()
        assert own.count == 5
        """,
    ),
    "data of a thread, as the session's thread sees it": (
        "import threading\nlocal = threading.local()\nlocal.x = 1",
        "assert local.x == 1 and type(local) is threading.local",
    ),
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
        os.environ["LEVEL"] = "3"
        def level(): return environ["LEVEL"]
        """,
        """
        import os
        os.environ["LEVEL"] = "4"
        assert environ is os.environ and level() == "4"
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
    "a decimal context and a rounding": (
        """
        import decimal
        context = decimal.Context(prec=5, rounding=decimal.ROUND_UP)
        third = context.divide(decimal.Decimal(1), 3)
        """,
        "assert context.prec == 5 and str(third) == '0.33334' and context.divide(third, third) == 1",
    ),
    "dates with time zones": (
        """
        import datetime, zoneinfo
        class Odd(datetime.tzinfo):
            def utcoffset(self, when): return datetime.timedelta(minutes=7)
            def dst(self, when): return datetime.timedelta()
            def tzname(self, when): return "ODD"
        utc = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc)
        fixed = utc.astimezone(datetime.timezone(datetime.timedelta(hours=2), "CEST"))
        odd = datetime.datetime(2024, 2, 29, 12, 7, tzinfo=Odd())
        berlin = zoneinfo.ZoneInfo("UTC")
        span, clock = datetime.timedelta(days=1, microseconds=5), datetime.time(1, 2, fold=1)
        """,
        """
        import datetime, zoneinfo
        assert utc == fixed == odd and fixed.tzname() == "CEST" and odd.tzname() == "ODD" and type(odd.tzinfo) is Odd
        assert utc.tzinfo is datetime.timezone.utc and berlin is zoneinfo.ZoneInfo("UTC") and span.microseconds == 5 and clock.fold == 1
        """,
    ),
    "paths, addresses, identifiers, fractions": (
        """
        import ipaddress, pathlib, uuid
        class Folder(type(pathlib.Path())):
            def shout(self): return self.name.upper()
        net, host = ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_address("10.1.2.3")
        pure, folder, key = pathlib.PurePosixPath("/a/b"), Folder("x/y"), uuid.uuid5(uuid.NAMESPACE_URL, "x")
        """,
        """
        import uuid
        assert host in net and pure.parent.name == "a" and folder.shout() == "Y" and type(folder) is Folder and type(folder / "z") is Folder
        assert key == uuid.uuid5(uuid.NAMESPACE_URL, "x")
        """,
    ),
    "patterns and matches": (
        """
        import re
        pattern = re.compile(r"(?P<word>\\w+) (\\d+)", re.IGNORECASE)
        search = pattern.search
        def words(text): return pattern.findall(text)
        """,
        "assert search('ab 12')['word'] == 'ab' and words('a 1') == [('a', '1')] and pattern.flags & 2",
    ),
    "arrays of numbers, and a subclass": (
        """
        import array
        numbers, letters = array.array("d", [1.5, 2.5]), array.array("b", b"ab")
        class Series(array.array):
            def mean(self): return sum(self) / len(self)
        series = Series("d", [1.0, 3.0])
        """,
        "assert numbers[1] == 2.5 and numbers.typecode == 'd' and letters.tobytes() == b'ab' and series.mean() == 2.0",
    ),
    "namespaces and views": (
        """
        import types
        table = {"a": 1, "b": 2}
        box, frozen = types.SimpleNamespace(a=1, me=None), types.MappingProxyType(table)
        box.me = box
        keys, values, items = table.keys(), table.values(), table.items()
        """,
        "table['c'] = 3\nassert box.me is box and frozen['c'] == 3 and set(keys) == {'a', 'b', 'c'} and list(values) == [1, 2, 3] and ('a', 1) in items",
    ),
    "iterators that have begun": (
        """
        import itertools
        ints, pairs, backwards = iter(range(5)), enumerate("abc"), reversed([1, 2, 3])
        chars, entries, chained = iter("xyz"), iter({"a": 1}.items()), itertools.chain([1], [2])
        cycle, repeat, islice = itertools.cycle("ab"), itertools.repeat(7, 2), itertools.islice(itertools.count(), 2, 4)
        mapped, filtered = map(str, [1, 2]), filter(None, [0, 3])
        sums, product, taken = itertools.accumulate([1, 2, 3]), itertools.product("ab", [1]), itertools.takewhile(bool, [1, 0])
        for each in (ints, pairs, backwards, chars, cycle, sums): next(each)
        """,
        """
        assert list(ints) == [1, 2, 3, 4] and next(pairs) == (1, "b") and list(backwards) == [2, 1] and list(chars) == ["y", "z"]
        assert list(entries) == [("a", 1)] and list(chained) == [1, 2] and next(cycle) == "b" and list(repeat) == [7, 7]
        assert list(islice) == [2, 3] and list(mapped) == ["1", "2"] and list(filtered) == [3]
        assert list(sums) == [3, 6] and list(product) == [("a", 1), ("b", 1)] and list(taken) == [1]
        """,
    ),
    "two iterators that share their source": (
        """
        source = iter([1, 2, 3, 4])
        pairs = zip(source, source)
        """,
        "assert next(pairs) == (1, 2) and next(source) == 3",
    ),
    "tee": (
        """
        import itertools
        a, b = itertools.tee(iter([1, 2, 3]))
        next(a)
        """,
        "assert list(a) == [2, 3] and list(b) == [1, 2, 3]",
    ),
    "an iterator of the session's own": (
        """
        class Down:
            def __init__(self, n): self.n = n
            def __iter__(self): return self
            def __next__(self):
                self.n -= 1
                if self.n < 0: raise StopIteration
                return self.n
        down = Down(3)
        next(down)
        """,
        "assert list(down) == [1, 0]",
    ),
    "an exit stack": (
        """
        import contextlib
        done = []
        stack = contextlib.ExitStack()
        stack.callback(done.append, 1)
        """,
        "stack.close()\nassert done == [1]",
    ),
    "loggers with handlers and levels": (
        """
        import logging
        class Keep(logging.Handler):
            def __init__(self): super().__init__(); self.kept = []
            def emit(self, record): self.kept.append(record.getMessage())
        keep = Keep()
        log = logging.getLogger("a.log.of.mine")
        log.setLevel("DEBUG")
        log.addHandler(keep)
        adapter = logging.LoggerAdapter(log, {"run": 1})
        formatter = logging.Formatter("%(message)s")
        """,
        """
        import logging
        assert log is logging.getLogger("a.log.of.mine") and adapter.logger is log
        record = logging.makeLogRecord({"msg": "m"})
        keep.handle(record)
        assert keep.kept == ["m"] and formatter.format(record) == "m"
        """,
    ),
    "a queue, a barrier, a timer": (
        """
        import queue, threading
        q, stack, ranked, simple = queue.Queue(), queue.LifoQueue(), queue.PriorityQueue(), threading.Barrier(1)
        for each in (q, stack, ranked):
            for n in (2, 1): each.put(n)
        bounded = threading.BoundedSemaphore(1)
        """,
        "assert q.get() == 2 and stack.get() == 1 and ranked.get() == 1 and q.qsize() == 1 and simple.wait() == 0 and bounded.acquire(timeout=0)",
    ),
    "futures that are done": (
        """
        from concurrent.futures import Future
        done = Future()
        done.set_result(3)
        """,
        "assert done.result(timeout=1) == 3",
    ),
    "argument parsers, configurations, templates": (
        """
        import argparse, configparser, string
        parser = argparse.ArgumentParser("p")
        parser.add_argument("--n", type=int, default=3)
        config = configparser.ConfigParser()
        config.read_string("[a]\\nb = 1")
        args, template = parser.parse_args([]), string.Template("$a")
        """,
        "assert parser.parse_args(['--n', '4']).n == 4 and config['a'].getint('b') == 1 and args.n == 3 and template.substitute(a=1) == '1'",
    ),
    "a random generator of one's own": (
        """
        import random
        class Loaded(random.Random):
            def roll(self): return 6
        loaded, own, random_function = Loaded(3), random.Random(5), random.randint
        expected = random.Random(5).random()
        """,
        "assert loaded.roll() == 6 and type(loaded) is Loaded and own.random() == expected and random_function(1, 1) == 1",
    ),
    "syntax trees": (
        "import ast\ntree = ast.parse('x + 1', mode='eval')",
        "assert eval(compile(tree, '<t>', 'eval'), {'x': 2}) == 3",
    ),
    "XML and JSON objects": (
        """
        import json
        import xml.etree.ElementTree as ET
        root = ET.fromstring("<a><b c='1'/></a>")
        class Enc(json.JSONEncoder):
            def default(self, o): return list(o)
        """,
        "import json\nassert root[0].get('c') == '1' and json.dumps({1}, cls=Enc) == '[1]'".replace(
            "{1}", "{'k': {1}}"
        ).replace("'[1]'", "'{\"k\": [1]}'"),
    ),
    "statistics, graphs and heaps": (
        """
        import graphlib, heapq, statistics
        normal, sorter, heap = statistics.NormalDist(1, 2), graphlib.TopologicalSorter({"b": {"a"}}), [3, 1, 2]
        heapq.heapify(heap)
        """,
        "assert normal.mean == 1 and list(sorter.static_order()) == ['a', 'b'] and heap[0] == 1",
    ),
    "a finder of slices and ellipses": (
        "cut, dots, missing, rows = slice(1, None, 2), ..., NotImplemented, range(3, 9, 2)",
        "assert 'abcdef'[cut] == 'bdf' and dots is ... and missing is NotImplemented and list(rows) == [3, 5, 7]",
    ),
    "floats and integers at the edges": (
        "inf, nan, small, large, zero = float('inf'), float('nan'), 5e-324, 10**400, -0.0",
        "import math\nassert inf > 1e308 and nan != nan and small / 2 == 0 and large % 7 == 10**400 % 7 and math.copysign(1, zero) == -1",
    ),
    "texts with surrogates, nulls and all planes": (
        "odd = '\\ud800 \\0 \\U0001f600 é'\nraw = bytes(range(256))\nkeys = {odd: 1}",
        "assert len(odd) == 7 and keys[odd] == 1 and raw[255] == 255",
    ),
    "os.environ, functions of os and copies of the environment": (
        """
        import os, sys
        environ, getcwd, copy, plain, argv = os.environ, os.getcwd, os.environ.copy(), dict(os.environ), sys.argv
        """,
        "import os\nassert environ is os.environ and getcwd() == os.getcwd() and copy == plain and 'PATH' in copy and type(argv) is list",
    ),
    "modules, also under other names and as attributes": (
        """
        import os.path as p, json, importlib, email.message
        class Uses:
            encoder = json
            def now(self): return self.encoder.dumps(email.message.Message)
        table, uses = {"j": json, "p": p}, Uses()
        """,
        "import json, os\nassert table['j'] is json is uses.encoder and p is os.path",
    ),
    "a module that is not in sys.modules any more": (
        """
        import sys
        with open("{scratch}/local/fleeting.py", "w") as file: print("def f(): return 5", file=file)
        sys.path.insert(0, "{scratch}/local")
        import fleeting
        from fleeting import f
        del sys.modules["fleeting"]
        """,
        "assert f() == 5 and fleeting.f() == 5",
    ),
    "a package beside the notebook, with relative imports": (
        """
        import os, sys
        os.makedirs("{scratch}/local/pack", exist_ok=True)
        for name, text in {"__init__": "from .a import A", "a": "from . import b\\nclass A:\\n    v = b.v", "b": "v = 3"}.items():
            with open(f"{scratch}/local/pack/{name}.py", "w") as file: print(text, file=file)
        sys.path.insert(0, "{scratch}/local")
        import pack.a
        from pack import A
        a = A()
        class Mine(A): pass
        mine = Mine()
        """,
        "assert a.v == 3 and type(a) is pack.a.A is A and isinstance(mine, A) and mine.v == 3",
    ),
    "warnings filters and warnings of one's own": (
        """
        import warnings
        class Careful(UserWarning): pass
        def warn(): warnings.warn("w", Careful, stacklevel=2)
        """,
        """
        import warnings
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            warn()
        assert [w.category for w in seen] == [Careful]
        """,
    ),
    "text in memory, zipped": (
        """
        import gzip, io, zipfile
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w") as z: z.writestr("a.txt", "hello")
        class Log(io.StringIO):
            def lines(self): return self.getvalue().splitlines()
        log, packed = Log(), gzip.compress(b"x")
        log.write("a\\nb")
        """,
        """
        import gzip, zipfile
        assert zipfile.ZipFile(memory).read("a.txt") == b"hello" and gzip.decompress(packed) == b"x"
        assert log.lines() == ["a", "b"] and type(log) is Log
        log.write("c")
        assert log.getvalue() == "a\\nbc"
        """,
    ),
    "a temporary directory's name": (
        "import tempfile, pathlib\nfolder = pathlib.Path(tempfile.mkdtemp(dir='{scratch}'))\n(folder / 'x').write_text('1')",
        "assert (folder / 'x').read_text() == '1'",
    ),
    "an asyncio event, lock and queue": (
        "import asyncio\nlock, event, queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue()\nevent.set()\nqueue.put_nowait(3)",
        "async with lock: assert event.is_set() and await queue.get() == 3",
    ),
    "multiprocessing in functions of the session": (
        """
        import multiprocessing
        scale = 3
        def work(x): return x * scale
        def many():
            with multiprocessing.get_context("fork").Pool(1) as pool: return pool.map(work, range(3))
        """,
        "assert many() == [0, 3, 6]",
    ),
    "executors in functions of the session": (
        """
        from concurrent.futures import ThreadPoolExecutor
        scale = 3
        def work(x): return x * scale
        def many():
            with ThreadPoolExecutor(2) as pool: return list(pool.map(work, range(3)))
        """,
        "assert many() == [0, 3, 6]",
    ),
    "weak references to functions, to classes, to oneself": (
        """
        import weakref
        class Node:
            def __init__(self):
                self.me, self.notes = weakref.ref(self), weakref.WeakKeyDictionary()
                self.notes[self] = 1
        def f(): return 1
        node, to_function, to_class = Node(), weakref.ref(f), weakref.ref(Node)
        class Counted:
            all = weakref.WeakSet()
            def __init__(self): Counted.all.add(self)
        counted = Counted()
        """,
        """
        assert node.me() is node and node.notes[node] == 1 and to_function() is f and to_class() is Node
        assert counted in Counted.all and len(Counted.all) == 1
        """,
    ),
    "modules by other names, submodules that somebody else loaded": (
        """
        import concurrent
        import concurrent.futures as _futures
        import importlib.metadata as metadata
        import xml.etree.ElementTree as ET
        def future(): return concurrent.futures.Future
        def sep(): return getattr(metadata.os, "path").sep
        """,
        "assert future().__name__ == 'Future' and ET.fromstring('<a/>').tag == 'a' and sep() == '/' and metadata.version('dill')",
    ),
    "messages, requests, cookies, calendars": (
        """
        import calendar, email.message, http.cookies, textwrap, urllib.request
        message, request = email.message.EmailMessage(), urllib.request.Request("http://x")
        message["to"] = "y"
        cookie, year, wrap = http.cookies.SimpleCookie("a=b"), calendar.TextCalendar(), textwrap.TextWrapper(width=3)
        """,
        "assert message['to'] == 'y' and request.host == 'x' and cookie['a'].value == 'b' and year.firstweekday == 0 and wrap.width == 3",
    ),
    "enumerations and sentinels of libraries": (
        """
        import dataclasses, http, inspect, re, signal
        things = [signal.SIGTERM, http.HTTPStatus.OK, re.I | re.M, dataclasses.MISSING, inspect.Parameter.empty]
        """,
        """
        import dataclasses, http, inspect, re, signal
        assert things == [signal.SIGTERM, http.HTTPStatus.OK, re.I | re.M, dataclasses.MISSING, inspect.Parameter.empty]
        assert things[3] is dataclasses.MISSING and type(things[2]) is re.RegexFlag
        """,
    ),
    "a thread that has not begun": (
        """
        import threading
        done = []
        waiting = threading.Thread(target=done.append, args=(1,), name="later", daemon=True)
        class Work(threading.Thread):
            def run(self): self.result = 3
        work = Work()
        """,
        """
        assert not waiting.is_alive() and waiting.name == "later" and waiting.daemon
        waiting.start(); work.start(); waiting.join(); work.join()
        assert done == [1] and work.result == 3 and not work.is_alive()
        """,
    ),
    "a module made at run time and entered in sys.modules": (
        """
        import sys, types
        tools = types.ModuleType("made_tools")
        exec("k = 2\\ndef f(x): return x * k\\nclass C:\\n    def get(self): return f(1)", tools.__dict__)
        sys.modules["made_tools"] = tools
        from made_tools import C, f
        c = C()
        """,
        """
        import sys, made_tools
        assert f(2) == 4 and c.get() == 2 and type(c) is C is made_tools.C and f is made_tools.f
        made_tools.k = 5
        assert f(2) == 10 and sys.modules["made_tools"] is made_tools
        """,
    ),
    "what belongs to the process is the job's": (
        "import sys\npath, modules, arguments = sys.path, sys.modules, sys.argv",
        "import sys\nassert path is sys.path and modules is sys.modules and arguments is sys.argv",
    ),
    "what is deleted is freed": (
        "class B: pass\nb = B()\nc = B()",
        "import gc, weakref\nr, s = weakref.ref(b), weakref.ref(c)\ndel b\nc = None\ngc.collect()\nassert r() is None and s() is None",
    ),
    "memoryviews write into what they show": (
        """
        data, fixed = bytearray(b"abcdefgh"), b"abc"
        view, numbers, constant = memoryview(data), memoryview(bytes(16)).cast("d"), memoryview(fixed)
        table = memoryview(bytearray(range(8))).cast("B", (2, 4))
        """,
        """
        view[0] = 120
        assert data[0] == 120 and view.obj is data and numbers[1] == 0.0 and numbers.format == "d" and constant.readonly
        assert table[1, 3] == 7 and table.shape == (2, 4) and constant.obj is fixed
        """,
    ),
    "context variables": (
        """
        import contextvars
        level, empty, default = contextvars.ContextVar("level"), contextvars.ContextVar("empty"), contextvars.ContextVar("d", default=[1])
        level.set({"a": level})
        def get(): return level.get()
        """,
        """
        assert get()["a"] is level and level.name == "level" and default.get() == [1] and empty.get(None) is None
        token = level.set(5)
        assert get() == 5
        level.reset(token)
        assert get()["a"] is level
        """,
    ),
    "views of arrays and of parts": (
        """
        import array
        numbers = array.array("d", [1.0, 2.0, 3.0])
        whole, part, row = memoryview(numbers), memoryview(numbers)[1:], memoryview(b"abcdef")[::2]
        """,
        "assert whole[2] == 3.0 and whole.format == 'd' and list(part) == [2.0, 3.0] and bytes(row) == b'ace'",
    ),
    "modules made at run time that know each other": (
        """
        import types, sys
        a, b = types.ModuleType("a_", "Doc."), types.ModuleType("b_")
        exec("k = 1\\ndef f(): return other.g() + k\\nclass C:\\n    def m(self): return f()", a.__dict__)
        exec("def g(): return other.k * 10\\nimport math as m", b.__dict__)
        a.other, b.other = b, a
        c, f = a.C(), a.f
        """,
        """
        assert f() == 11 == c.m() and a.__doc__ == "Doc." and b.m.sqrt(4) == 2
        a.k = 2
        assert f() == 22 and type(c) is a.C
        """,
    ),
    "a package made at run time in sys.modules": (
        """
        import sys, types
        top, sub = types.ModuleType("made_top"), types.ModuleType("made_top.sub")
        exec("__path__ = []\\ndef f(): from made_top import sub; return sub.g()", top.__dict__)
        exec("def g(): return 5", sub.__dict__)
        top.sub = sub
        sys.modules["made_top"], sys.modules["made_top.sub"] = top, sub
        """,
        "assert top.f() == 5\nimport made_top.sub\nassert made_top.sub is sub",
    ),
    "functions and classes of one namespace of exec": (
        """
        own = {"__name__": "own"}
        exec('''
        total = 0
        class Account:
            rate = 2
            def add(self, n):
                global total
                total += n * self.rate
                return helper()
        def helper(): return total
        account = Account()
        ''', own)
        account, helper = own["account"], own["helper"]
        """,
        "assert account.add(3) == 6 == helper() == own['total'] and type(account) is own['Account'] and account.__class__.__module__ == 'own'",
    ),
    "context variables and contexts of values": (
        """
        import contextvars
        import numpy as np
        level, tags = contextvars.ContextVar("level", default=np.arange(3)), contextvars.ContextVar("tags")
        level.set(np.arange(4))
        tags.set([level])
        def f(): return level.get().sum(), tags.get()[0]
        """,
        "total, var = f()\nassert total == 6 and var is level",
    ),
    "structs and weak methods": (
        """
        import struct, weakref
        class X:
            def m(self): return 1
        x = X()
        pack, kind, method = struct.Struct("<id"), [].__iter__, weakref.WeakMethod(x.m)
        """,
        "assert pack.unpack(pack.pack(1, 2.0)) == (1, 2.0) and list(kind()) == [] and method()() == 1 and method().__self__ is x",
    ),
    "threads of a class of one's own, and a timer": (
        """
        import threading
        class T(threading.Thread):
            def __init__(self, n): super().__init__(name="t"); self.n = n
            def run(self): self.out = self.n
        t, timer = T(3), threading.Timer(0, print)
        """,
        """
        t.start(); t.join(); timer.start(); timer.join()
        assert t.out == 3 and t.name == "t" and not t.is_alive()
        """,
    ),
    "two views of one bytearray": (
        "data = bytearray(b'abcd')\nwhole, part = memoryview(data), memoryview(b'xyz')[1:]",
        "whole[1] = 120\nassert data == b'axcd' and bytes(part) == b'yz'",
    ),
    "views of arrays of numpy": (
        "import numpy as np\nm, table, turned = memoryview(np.arange(4.0)), memoryview(np.arange(6.0).reshape(2, 3)), memoryview(np.arange(6).reshape(2, 3).T)",
        "assert m[1] == 1.0 and m.format == 'd' and table[1, 2] == 5.0 and turned.tolist() == [[0, 3], [1, 4], [2, 5]]",
    ),
    "queues and conditions of classes of one's own": (
        """
        import queue, threading
        class Q(queue.Queue):
            def put_twice(self, x): self.put(x); self.put(x)
        class C(threading.Condition): pass
        q, c = Q(), C()
        q.put_twice(1)
        """,
        "assert q.get() == 1 and q.qsize() == 1\nwith c: c.notify()",
    ),
}
