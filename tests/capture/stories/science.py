"""Arrays, tables, models and figures of the session, in the job."""

SCIENCE = {
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
    "numpy: strided, read-only, 0-d, empty, Fortran and big-endian arrays": (
        """
        import numpy as np
        strided, still, point = np.arange(10)[::2], np.arange(3), np.array(5.0)
        still.flags.writeable = False
        empty, fortran, big = np.zeros((0, 3)), np.asfortranarray(np.ones((2, 3))), np.arange(3, dtype=">i4")
        broad = np.broadcast_to(np.arange(3), (2, 3))
        large_still = np.arange(20_000)
        large_still.setflags(write=False)
        """,
        """
        assert strided.tolist() == [0, 2, 4, 6, 8] and point.shape == () and point == 5 and empty.shape == (0, 3) and big.dtype.str == ">i4"
        assert fortran.flags.f_contiguous and broad.shape == (2, 3) and broad[1, 2] == 2
        assert not still.flags.writeable and not large_still.flags.writeable
        """,
    ),
    "numpy: scalars, dates, strings, objects, booleans": (
        """
        import numpy as np
        one, day, span, text = np.float32(1.5), np.datetime64("2024-02-29"), np.timedelta64(3, "h"), np.array(["a", "bcd"])
        days, mixed, mask = np.arange("2024-01", "2024-03", dtype="datetime64[D]"), np.array([1, "a", None, [1]], dtype=object), np.array([True, False])
        void = np.zeros(1, dtype="i4,f8")[0]
        """,
        """
        import numpy as np
        assert type(one) is np.float32 and one == 1.5 and day.item().month == 2 and span == np.timedelta64(180, "m") and text[1] == "bcd"
        assert len(days) == 60 and mixed[3] == [1] and mask.dtype == bool and void["f1"] == 0.0
        """,
    ),
    "numpy: structured, record, masked and matrix": (
        """
        import numpy as np
        kind = np.dtype([("a", "i4"), ("b", "f8", (2,))], align=True)
        table = np.zeros(3, dtype=kind)
        table["b"][1] = 7
        records, masked = table.view(np.recarray), np.ma.masked_less(np.arange(4), 2)
        masked.fill_value = -1
        nothing = np.ma.masked
        """,
        """
        import numpy as np
        assert table.dtype == kind and table["b"][1, 1] == 7 and records.a[0] == 0 and masked.sum() == 5
        assert masked.filled().tolist() == [-1, -1, 2, 3] and nothing is np.ma.masked
        """,
    ),
    "numpy: an object array of itself and of functions": (
        """
        import numpy as np
        holder = np.empty(3, dtype=object)
        K = 2
        def f(x): return x * K
        holder[0], holder[1], holder[2] = holder, f, [holder]
        """,
        "assert holder[0] is holder and holder[1](3) == 6 and holder[2][0] is holder",
    ),
    "numpy: random states": (
        """
        import numpy as np
        old, new, seeds = np.random.RandomState(1), np.random.Generator(np.random.MT19937(2)), np.random.SeedSequence(3)
        old.rand(); new.random()
        import copy
        expected = copy.deepcopy(old).rand(), copy.deepcopy(new).random(), seeds.generate_state(1)[0]
        """,
        "assert (old.rand(), new.random(), seeds.generate_state(1)[0]) == expected",
    ),
    "numpy: universal functions, polynomials, numbers' limits": (
        """
        import numpy as np
        add, reduce_, step = np.add, np.add.reduce, 3
        shifted = np.vectorize(lambda x: x + step, otypes=[float])
        poly, fit = np.poly1d([1, 2]), np.polynomial.Polynomial([1, 2])
        mgrid, info, err = np.mgrid, np.finfo("f4"), np.errstate(divide="ignore")
        """,
        """
        import numpy as np
        assert add is np.add and reduce_([1, 2]) == 3 and shifted([1]).dtype == float and poly(3) == 5 and fit(3) == 7
        """,
    ),
    "numpy: a dtype of the session's class, an ndarray subclass with slots and reduce": (
        """
        import numpy as np
        class Unit(np.ndarray):
            def __new__(cls, data, unit):
                made = np.asarray(data).view(cls)
                made.unit = unit
                return made
            def __array_finalize__(self, other): self.unit = getattr(other, "unit", None)
            def __array_ufunc__(self, ufunc, method, *inputs, **k):
                plain = [np.asarray(i) for i in inputs]
                return Unit(getattr(ufunc, method)(*plain, **k), self.unit)
        small, big = Unit([1, 2], "m"), Unit(np.zeros(50_000), "km")
        class Wrapped:
            def __init__(self, v): self.v = v
            def __array__(self, dtype=None, copy=None): return np.asarray(self.v, dtype)
        wrapped = Wrapped([1, 2])
        """,
        """
        import numpy as np
        assert (small + 1).unit == "m" and big.unit == "km" and big.shape == (50_000,) and type(big) is Unit and np.sum(wrapped) == 3
        """,
    ),
    "numpy: one large array in two objects, changed in place": (
        """
        import numpy as np
        class Model:
            def __init__(self, w): self.w = w
        w = np.zeros(100_000)
        a, b = Model(w), Model(w)
        """,
        "a.w += 1\nassert b.w is a.w is w and b.w[0] == 1",
    ),
    "numpy: a module function, ufunc method and partial of it": (
        """
        import functools
        import numpy as np
        norm, last = np.linalg.norm, functools.partial(np.sum, axis=-1)
        def f(x): return np.linalg.norm(x) + np.random.default_rng(1).random() * 0
        """,
        "assert norm([3, 4]) == 5 and last([[1, 2]]).tolist() == [3] and f([3, 4]) == 5",
    ),
    "pandas: kinds of columns": (
        """
        import pandas as pd
        frame = pd.DataFrame({
            "c": pd.Categorical(["lo", "hi", "lo"], categories=["lo", "mid", "hi"], ordered=True),
            "i": pd.array([1, None, 3], dtype="Int64"),
            "b": pd.array([True, None, False], dtype="boolean"),
            "s": pd.array(["a", None, "c"], dtype="string"),
            "t": pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin"),
            "d": pd.to_timedelta([1, 2, 3], unit="h"),
            "p": pd.period_range("2024-01", periods=3, freq="M"),
            "v": pd.arrays.IntervalArray.from_breaks([0, 1, 2, 3]),
            "x": pd.arrays.SparseArray([0, 0, 1]),
        })
        """,
        """
        assert frame["c"].cat.ordered and list(frame["c"].cat.categories) == ["lo", "mid", "hi"] and frame["c"].max() == "hi"
        assert frame["i"].sum() == 4 and str(frame["i"].dtype) == "Int64" and frame["b"].sum() == 1 and frame["s"].isna().sum() == 1
        assert str(frame["t"].dt.tz) == "Europe/Berlin" and frame["p"].iloc[1].month == 2 and frame["v"].iloc[0].right == 1
        assert frame["d"].dt.total_seconds().sum() == 21600 and frame["x"].sum() == 1
        """,
    ),
    "pandas: indexes, groups, windows, subclasses and what they hold": (
        """
        import numpy as np
        import pandas as pd
        index = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["k", "n"])
        frame = pd.DataFrame({"v": np.arange(4.0)}, index=index)
        times = pd.Series(range(4), index=pd.date_range("2024-01-01", periods=4, freq="D"))
        class Frame(pd.DataFrame):
            _metadata = ["source"]
            @property
            def _constructor(self): return Frame
        mine = Frame({"a": [1, 2]})
        mine.source = "lab"
        offset, stamp, span, none = pd.offsets.MonthEnd(2), pd.Timestamp("2024-01-31", tz="UTC"), pd.Timedelta("1h"), pd.NA
        grouped, rolling = frame.groupby("k"), times.rolling(2)
        rate = 10
        def scale(row): return row["v"] * rate
        """,
        """
        import pandas as pd
        assert frame.loc[("b", 2), "v"] == 3 and frame.index.names == ["k", "n"] and times.index.freq == "D" and mine.source == "lab"
        assert type(mine) is Frame and type(mine.head()) is Frame and stamp + offset == pd.Timestamp("2024-03-31", tz="UTC") and none is pd.NA
        assert grouped["v"].sum()["b"] == 5 and rolling.sum().iloc[-1] == 5 and frame.apply(scale, axis=1).iloc[1] == 10
        """,
    ),
    "pandas: a column is the frame's own": (
        """
        import pandas as pd
        frame = pd.DataFrame({"a": [1, 2]})
        objects = pd.Series([[1], {"k": 1}, None, len], dtype=object)
        limit = 1
        """,
        "assert frame.query('a > @limit')['a'].tolist() == [2] and objects[0] == [1] and objects[3] is len\nframe.loc[0, 'a'] = 7\nassert frame['a'].tolist() == [7, 2]",
    ),
    "scipy: sparse matrices, splines, distributions": (
        """
        import numpy as np
        import scipy.sparse as sp
        from scipy import stats
        from scipy.interpolate import CubicSpline, interp1d
        csr, coo = sp.csr_matrix(np.eye(3)), sp.coo_array(np.eye(2))
        spline, line, normal = CubicSpline([0, 1, 2], [0, 1, 4]), interp1d([0, 1], [0, 2]), stats.norm(1, 2)
        """,
        "assert csr[1, 1] == 1 and coo.nnz == 2 and abs(spline(1) - 1) < 1e-9 and line(0.5) == 1 and normal.mean() == 1",
    ),
    "scikit-learn: grid search over a scorer and an estimator of the session": (
        """
        import numpy as np
        from sklearn.base import BaseEstimator, ClassifierMixin, clone
        from sklearn.compose import ColumnTransformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import make_scorer
        from sklearn.model_selection import GridSearchCV
        bonus = 0.5
        def score(truth, guess): return np.mean(truth == guess) + bonus
        class Always(ClassifierMixin, BaseEstimator):
            def __init__(self, label=0): self.label = label
            def fit(self, X, y):
                self.classes_ = np.unique(y)
                return self
            def predict(self, X): return np.full(len(X), self.label)
        X, y = np.arange(8.0).reshape(-1, 1), np.array([0, 1, 1, 1] * 2)
        search = GridSearchCV(Always(), {"label": [0, 1]}, scoring=make_scorer(score), cv=2)
        fitted = LogisticRegression().fit(X, y)
        expected = fitted.predict_proba(X)
        """,
        """
        import numpy as np
        search.fit(X, y)
        assert search.best_params_ == {"label": 1} and search.best_score_ == 1.25 and type(search.best_estimator_) is Always
        assert np.array_equal(fitted.predict_proba(X), expected) and clone(search).estimator.label == 0
        """,
    ),
    "matplotlib: a figure, its axes and the module": (
        """
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
        figure, axes = plt.subplots(1, 2)
        (line,) = axes[0].plot([1, 2], label="l")
        axes[0].legend()
        """,
        """
        import io
        assert len(figure.axes) == 2 and figure.axes[0] is axes[0] and axes[0].lines[0] is line and line.figure is figure
        figure.savefig(io.BytesIO())
        plt.close(figure)
        """,
    ),
    "numba: a compiled function, used by another": (
        """
        import numba
        K = 2
        @numba.njit
        def scaled(x): return x * K
        @numba.njit
        def both(x): return scaled(x) + 1
        both(2)
        def use(x): return both(x) + 1
        """,
        "assert use(3) == 8 and scaled(2) == 4 and both.py_func(1) == 3",
    ),
    "attrs: slots, converters, validators, inheritance": (
        """
        import attr, attrs
        def positive(instance, attribute, value):
            if value <= 0: raise ValueError(attribute.name)
        @attrs.define
        class A:
            x: int = attrs.field(converter=int, validator=positive)
            y: list = attrs.Factory(lambda self: [self.x], takes_self=True)
            @property
            def twice(self): return 2 * self.x
            def me(self): return __class__
        @attrs.frozen
        class B(A):
            z: str = "z"
        @attr.s(auto_attribs=True, hash=True)
        class Old:
            a: int = 1
        a, b, old = A("3"), B(2), Old()
        """,
        """
        import attrs
        assert a.y == [3] and a.twice == 6 and b == B(2) and attrs.asdict(b) == {"x": 2, "y": [2], "z": "z"} and {old: 1}[Old()] == 1
        assert a.me() is A and not hasattr(a, "__dict__")
        try: A(0)
        except ValueError: pass
        else: raise AssertionError
        """,
    ),
    "numpy: everything imported by name": (
        "from numpy import *\nfrom numpy.linalg import norm\na = arange(3)",
        "assert norm(a) > 2 and sin(0) == 0 and a.sum() == 3",
    ),
    "numpy: dtypes with offsets, complex and long numbers, strings": (
        """
        import numpy as np
        kind = np.dtype({"names": ["a", "b"], "formats": ["i4", "f8"], "offsets": [0, 8], "itemsize": 24})
        table, c, third = np.zeros(2, kind), np.array([1 + 2j], dtype="c8"), np.longdouble(1) / 3
        """,
        "import numpy as np\nassert table.dtype.itemsize == 24 and c.imag[0] == 2 and type(third) is np.longdouble and third == np.longdouble(1) / 3",
    ),
    "scikit-learn and scipy: submodules in functions, a fitted forest": (
        """
        import numpy as np
        import scipy, scipy.stats, sklearn.cluster
        from sklearn.ensemble import RandomForestClassifier
        def half(): return scipy.stats.norm.cdf(0)
        def name(): return sklearn.cluster.KMeans.__name__
        X = np.arange(20.0).reshape(-1, 1)
        forest = RandomForestClassifier(5, random_state=0).fit(X, X[:, 0] > 9)
        expected = forest.predict(X)
        """,
        "assert half() == 0.5 and name() == 'KMeans' and (forest.predict(X) == expected).all()",
    ),
    "numba: a compiled lambda and a universal function": (
        "import numba\nplus = numba.njit(lambda x: x + 1)\nplus(1)\n@numba.vectorize\ndef twice(x): return 2 * x",
        "assert plus(2) == 3 and twice(2) == 4",
    ),
    "numpy: views of one array stay views": (
        """
        import numpy as np
        a = np.arange(6)
        v, w, rows, back, fixed = a[:2], a[::2], a.reshape(2, 3), a[::-1], a[1:3]
        fixed.flags.writeable = False
        holder = {"view": a[4:], "whole": a}
        """,
        """
        v[0] = 9
        assert a[0] == 9 == w[0] == rows[0, 0] == back[-1] and holder["whole"] is a
        rows[1, 2] = 7
        assert a[5] == 7 == holder["view"][1] == back[0] and not fixed.flags.writeable and v.base is not None
        """,
    ),
    "numpy: a view of a large array": (
        """
        import numpy as np
        big = np.arange(100_000.0)
        part, column, turned = big[10:20], big.reshape(1000, 100)[:, 3], big.reshape(1000, 100).T
        """,
        "part[0] = -1\nassert big[10] == -1 == turned[10, 0]\nturned[3, 2] = -5\nassert column[2] == -5 == big[203]",
    ),
    "numpy: every dtype in every order, small and large": (
        """
        import numpy as np
        kinds = ["?", "i1", "u2", "<i4", ">i4", "u8", "f2", ">f4", "f8", "g", "c8", ">c16", "S3", "U2", ">U2", "M8[D]", "m8[ns]", "V5", "O",
                 [("a", "<i2"), ("b", ">f8", (2,))], np.dtype([("x", "i1"), ("y", "f8")], align=True)]
        def filled(kind, size):
            raw = np.zeros((size, 4), dtype=kind)
            if raw.dtype.hasobject: raw[...] = None
            else: raw.reshape(-1).view("V%d" % raw.dtype.itemsize)[:] = raw.reshape(-1).view("V%d" % raw.dtype.itemsize)
            if raw.dtype.kind in "iufc": raw[...] = np.arange(raw.size).reshape(raw.shape) % 100
            return raw
        def variants(a): return [a, np.asfortranarray(a), a[::2], a[:, ::-1], a.T, a[1:1], a[0, 0:1], a.copy()[..., None]]
        arrays = {(n, size): variants(filled(kind, size)) for n, kind in enumerate(kinds) for size in (4, 20_000)}
        expected = {key: [(v.dtype, v.shape, v.tobytes() if v.dtype.kind != "O" else None) for v in vs] for key, vs in arrays.items()}
        """,
        """
        import numpy as np
        def same(v, raw, dtype, shape): return v.tobytes() == raw or (v == np.frombuffer(raw, dtype).reshape(shape)).all()
        for key, vs in arrays.items():
            for v, (dtype, shape, raw) in zip(vs, expected[key]):
                assert v.dtype == dtype and v.shape == shape and (raw is None or same(v, raw, dtype, shape)), (key, dtype)
                assert v.flags.writeable
        """,
    ),
    "numpy: arrays with and without shared memory": (
        """
        import numpy as np
        small, large = np.arange(12.0), np.arange(20_000.0)
        views = {name: [a, a[2:], a[::-2], a.reshape(2, -1).T, a.view("i8"), a[5:6][0:1]] for name, a in (("small", small), ("large", large))}
        separate = [small.copy(), large.copy()]
        record = np.zeros(5, [("a", "i4"), ("b", "f8")])
        field, wide = record["b"], np.broadcast_to(np.arange(3), (4, 3))
        windows = np.lib.stride_tricks.sliding_window_view(small, 3)
        """,
        """
        for name, a in (("small", small), ("large", large)):
            whole, rest, back, table, raw, one = views[name]
            a[:] = 7.5
            assert whole is a and (rest == 7.5).all() and (back == 7.5).all() and (table == 7.5).all() and one[0] == 7.5 and (raw == raw[0]).all()
            back[0] = -1
            assert a[-1] == -1 == table[-1, -1]
        assert separate[0][3] == 3 and separate[1][3] == 3 and wide.shape == (4, 3) and wide[3, 2] == 2 and (windows[0] == 7.5).all()
        record["b"][1] = 9
        assert field[1] == 9
        """,
    ),
    "numpy: masked arrays, records and matrices that share": (
        """
        import numpy as np
        base = np.arange(10_000.0)
        masked = np.ma.masked_array(base, mask=base % 2 == 0)
        hard = np.ma.array([1, 2, 3], mask=[0, 1, 0], hard_mask=True, fill_value=-7)
        records, matrix = np.rec.fromarrays([[1, 2], ["a", "b"]], names="n,s"), np.matrix([[1, 2], [3, 4]])
        scalar, row, void = np.ma.masked, records[1], np.zeros(1, [("a", "i4")])[0]
        chars = np.char.array(["a", "b"])
        """,
        """
        import numpy as np
        assert masked.count() == 5_000 and masked.sum() == base[1::2].sum() and hard.fill_value == -7 and hard[1] is np.ma.masked is scalar
        assert records.n.sum() == 3 and type(records) is np.recarray and row.s == "b" and (matrix * matrix)[0, 0] == 7 and type(matrix) is np.matrix
        assert void["a"] == 0 and chars.upper()[1] == "B"
        """,
    ),
    "numpy: subclasses of arrays with a view and a large one": (
        """
        import numpy as np
        class Q(np.ndarray):
            def __new__(cls, data, unit):
                made = np.asarray(data).view(cls)
                made.unit = unit
                return made
            def __array_finalize__(self, other): self.unit = getattr(other, "unit", None)
        q, large = Q([1.0, 2.0], "m"), Q(np.arange(20_000.0), "s")
        part, obj = large[10:20], np.array([q, None, [1]], dtype=object)
        """,
        "assert q.unit == 'm' and type(q) is Q and large.unit == 's' == part.unit and part[0] == 10 and (large * 2).unit == 's' and obj[0] is q and obj[2] == [1]",
    ),
    "pandas: frames over arrays, kinds of columns and of indexes": (
        """
        import numpy as np
        import pandas as pd
        data = np.arange(12.0).reshape(4, 3)
        frame = pd.DataFrame(data, columns=list("abc"))
        kinds = pd.DataFrame({
            "cat": pd.Categorical(["x", "y", None], categories=["y", "x"], ordered=True), "int": pd.array([1, None, 3], dtype="Int64"),
            "text": pd.array(["a", None, "c"], dtype="string"), "bool": pd.array([True, None, False], dtype="boolean"),
            "when": pd.date_range("2024", periods=3, tz="UTC"), "per": pd.period_range("2024", periods=3, freq="M"),
            "gap": pd.arrays.SparseArray([0, 0, 1]), "iv": pd.interval_range(0, 3), "obj": [[1], {"a": 1}, None], "td": pd.to_timedelta([1, 2, 3], unit="h")})
        multi = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["l", "n"])
        series, nested = pd.Series(range(4), index=multi, name="s"), pd.DataFrame(np.eye(4), index=multi, columns=multi)
        frame.attrs["unit"] = "m"
        big = pd.DataFrame({"a": np.arange(50_000), "b": np.arange(50_000.0), "c": ["x"] * 50_000})
        column, index = big["b"], big.index
        grouped = kinds.groupby("cat", observed=False)
        stamp, delta, missing, period = pd.Timestamp("2024", tz="UTC"), pd.Timedelta(1), pd.NaT, pd.Period("2024-01")
        copies = kinds.copy(), series.copy(), nested.copy()
        """,
        """
        import pandas as pd
        pd.testing.assert_frame_equal(kinds, copies[0])
        pd.testing.assert_series_equal(series, copies[1])
        pd.testing.assert_frame_equal(nested, copies[2])
        assert frame.attrs == {"unit": "m"} and frame.sum().sum() == 66 and series["b", 2] == 3 and nested.index.names == ["l", "n"]
        assert big["b"].sum() == column.sum() and index.equals(big.index) and grouped.size().sum() == 2 and missing is pd.NaT and period.year == 2024
        frame.loc[0, "a"] = big.loc[0, "b"] = 100.0
        assert frame.loc[0, "a"] == 100 and stamp.tzinfo is not None and delta.value == 1 and kinds["cat"].cat.ordered
        """,
    ),
    "scipy: sparse matrices of every format": (
        """
        import numpy as np
        import scipy.sparse as sp
        dense = np.eye(200) * 3
        formats = {f: sp.random(200, 100, density=0.5, format=f, random_state=1) for f in ("csr", "csc", "coo", "lil", "dok", "dia", "bsr")}
        arrays = sp.csr_array(dense), sp.coo_array(dense)
        expected = {f: m.toarray() for f, m in formats.items()}
        shared = sp.csr_matrix((formats["csr"].data, formats["csr"].indices, formats["csr"].indptr), copy=False)
        operator = sp.linalg.aslinearoperator(arrays[0]) if hasattr(sp, "linalg") else None
        """,
        """
        assert all((m.toarray() == expected[f]).all() and m.format == f for f, m in formats.items()) and arrays[0].sum() == 600 == arrays[1].sum()
        formats["csr"].data[0] = 99
        assert shared.data[0] == 99
        """,
    ),
    "numpy and pandas: methods of their objects, singletons": (
        """
        import numpy as np
        import pandas as pd
        rng, series = np.random.default_rng(3), pd.Series([1, 2])
        normal, fresh, unbound = rng.normal, np.random.default_rng, np.random.Generator.normal
        total, grouped, mean = series.sum, series.groupby([0, 1]).sum, pd.DataFrame.mean
        marks = [np.ma.masked, np.ma.nomask, pd.NaT, pd.NA, np.newaxis]
        """,
        """
        import numpy as np
        import pandas as pd
        assert normal.__self__ is rng and fresh(1).random() == fresh(1).random() and unbound(rng) is not None
        assert total() == 3 and total.__self__ is series and grouped()[1] == 2 and mean is pd.DataFrame.mean
        assert all(a is b for a, b in zip(marks, [np.ma.masked, np.ma.nomask, pd.NaT, pd.NA, None]))
        """,
    ),
}
