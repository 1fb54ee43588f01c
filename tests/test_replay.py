"""A notebook in which each cell runs twice, here and as a job: what is fetched and shown is what the cell showed here."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from persist_magic.errors import Damaged, JobFailed, UnsafePath
from persist_magic.text import settle

from .conftest import Session, environment, wait_until

Output = dict[str, Any]

SETUP = """%load_ext persist_magic
%matplotlib inline
import matplotlib.pyplot as plt
plt.style.use("ggplot")
plt.rcParams["figure.figsize"] = 2, 1
plt.rcParams["svg.hashsalt"] = "salt"
%config InlineBackend.figure_formats = ["png", "svg"]
"""

SAME = {
    "figures": """
import matplotlib.pyplot as plt
fig, ax = plt.subplots(); ax.plot([1, 2, 3]); print("text"); plt.show()
plt.figure(); plt.plot([3, 1]); print("after")
"value"
""",
    "figure below its lines": "import matplotlib.pyplot as plt\nplt.plot([1, 2])",
    "figure as the result": "import matplotlib.pyplot as plt\nfig = plt.figure(); plt.plot([1, 2])\nfig",
    "styler": "import pandas as pd\npd.DataFrame({'a': [1, 2]}).style.highlight_max()",
    "frames": "import pandas as pd\ndisplay(pd.DataFrame({'a': [1, 2]}))\npd.Series([1, 2])",
    "plotly": "import plotly.graph_objects as go\nfig = go.Figure(go.Scatter(y=[1, 2]))\nfig.show()\nfig",
    "display objects": """
from IPython.display import HTML, JSON, SVG, Image, Javascript, Latex, Markdown, Math, display
display(HTML("<b>b</b>"), Latex("$x$"), Markdown("*m*"), Math("y"), Image(data=b"\\x89PNG", format="png"))
display(SVG('<svg xmlns="http://www.w3.org/2000/svg"/>'), JSON({"a": 1}), metadata={"some": "thing"})
Javascript("1")
""",
    "clear_output": """
from IPython.display import clear_output, display
for i in range(3):
    clear_output(wait=True)
    print(i); display(i)
print("kept?")
clear_output()
print("end")
clear_output(wait=True)
""",
    "display_id": "h = display('a', display_id='id')\nprint('x')\nh.update('b')\ndisplay('c', display_id='id')\nh.update('d')",
    "html magic": "%%html\n<b>x</b>",
    "capture": "%%capture kept\nprint('inside'); display(1)\n",
    "shell": "print(1)\n!echo hello\nprint(2)",
    "text bar": "from tqdm import tqdm\nfor _ in tqdm(range(3), desc='bar'): pass",
    "logging": "import logging\nlogging.getLogger('x').warning('careful')",
    "long list": "list(range(100))",
    "nested": "{'a': [1] * 20, 'b': set(range(30)), 'c': 'x' * 90, 'd': (1,)}",
    "long text": "'x' * 2000",
    "object": "class A: pass\nA()",
    "function": "def f(x, y=1): pass\nf",
    "class": "class B: pass\nB",
    "array": "import numpy as np\nnp.arange(30.0)",
    "namespace": "import types\ntypes.SimpleNamespace(a=1)",
    "exception": "ValueError('x')",
    "date": "import datetime\ndatetime.date(2020, 1, 1)",
    "_repr_html_": "class Rich:\n    def _repr_html_(self): return '<i>rich</i>'\nRich()",
    "_repr_mimebundle_": "class Rich:\n    def _repr_mimebundle_(self, **kw): return {'text/plain': 'p', 'application/x+json': {'a': 1}}, {'m': 2}\nRich()",
    "_ipython_display_": "class Itself:\n    def _ipython_display_(self): print('by itself')\nItself()",
    "nothing": "x = 1",
    "None": "None",
}

SHOWN = {  # whose result cannot come back, but is seen
    "semicolon": ("6 * 7;  # quiet", []),
    "widget": ("import ipywidgets\nipywidgets.IntSlider(value=3)", ["IntSlider(value=3)"]),
    "generator": ("(x for x in 'abc')", ["<generator object <genexpr> at 0x>"]),
}


@dataclass(frozen=True)
class Story:
    direct: list[Output]
    fetched: list[Output]
    shown: list[Output]
    later: list[Output]


def execute(cells: list[str], directory: Path) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(directory)}}
    )
    client.execute(
        env=environment(IPYTHONDIR=str(directory / ".ipython"), PERSIST_ROOT=str(directory / "jobs"), SOURCE_DATE_EPOCH="0")
    )
    nbformat.validate(notebook)
    return notebook


def story_name(name: str) -> str:
    return re.sub(r"\W", "-", name)


ERROR = "print('x')\ndef f(n):\n    return 1 / n\nimport matplotlib.pyplot as plt\nplt.plot([1])\nf(0)"


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Story]:
    """Each cell here, its job, and what `%persist_fetch` and `%persist_show` show; then `%persist_show` in a new session."""
    directory = tmp_path_factory.mktemp("stories")
    every = {**SAME, **{name: cell for name, (cell, _) in SHOWN.items()}, "error": ERROR}
    cells, last = [SETUP], ["%load_ext persist_magic"]
    for name, cell in every.items():
        job = story_name(name)
        cells += [cell, f"%%persist {job}\n{cell}", f"%persist_fetch {job}", f"%persist_show {job}"]
        last.append(f"%persist_show {job}")
    first, second = execute(cells, directory), execute(last, directory)
    HTML.append(HTMLExporter().from_notebook_node(second)[0])
    outputs = [[dict(each) for each in cell.outputs] for cell in first.cells[1:]]
    later = [[dict(each) for each in cell.outputs] for cell in second.cells[1:]]
    return {
        name: Story(outputs[4 * at], outputs[4 * at + 2], outputs[4 * at + 3], later[at]) for at, name in enumerate(every)
    }


HTML: list[str] = []


def modulo(outputs: list[Output]) -> list[Output]:
    """Outputs without what differs between any two runs of a cell: numbers, addresses, ids, times, and how text is cut."""
    same: list[Output] = []
    for output in outputs:
        text = re.sub(r"0x[0-9a-f]{6,}", "0x", json.dumps(output, sort_keys=True))
        each = json.loads(re.sub(r"T_[0-9a-f]{5}", "T_", text))
        each.pop("execution_count", None)
        if each["output_type"] == "stream":
            if same and same[-1].get("name") == each["name"]:
                each["text"] = same.pop()["text"] + each["text"]
            each["text"] = re.sub(r", *[0-9.]+it/s|/tmp/[^:]*:\d+", "", settle(each["text"]))
        same.append(each)
    return same


def displayed(outputs: list[Output]) -> list[Output]:
    """The same outputs, with the result as what it is for a cell that shows another cell's: displayed."""
    return [
        {**each, "output_type": "display_data"} if each["output_type"] == "execute_result" else each
        for each in modulo(outputs)
    ]


@pytest.mark.parametrize("name", SAME)
def test_a_job_is_fetched_and_shown_as_if_its_cell_had_run_here(stories: dict[str, Story], name: str) -> None:
    story = stories[name]
    assert modulo(story.fetched) == modulo(story.direct)
    assert modulo(story.shown) == displayed(story.direct)
    assert modulo(story.later) == displayed(story.direct)


@pytest.mark.parametrize("name", SHOWN)
def test_a_result_is_seen_although_it_cannot_come_back(stories: dict[str, Story], name: str) -> None:
    texts = [each["data"]["text/plain"] for each in modulo(stories[name].shown) if "data" in each]
    assert texts == SHOWN[name][1]
    assert [set(each["data"]) for each in stories[name].later if "data" in each] == [{"text/plain"} for _ in texts]


def plain(lines: list[str]) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))


def test_an_error_looks_as_in_ipython_and_the_figures_come_below(stories: dict[str, Story]) -> None:
    story = stories["error"]
    kinds = [each["output_type"] for each in story.direct]
    assert kinds == ["stream", "error", "display_data"]
    assert [each["output_type"] for each in story.fetched] == kinds
    assert modulo(story.fetched)[2] == modulo(story.direct)[2]
    direct, fetched = story.direct[1]["traceback"], story.fetched[1]["traceback"]
    assert "\x1b[" in fetched[-2]
    # the cell's lines are counted below the magic's; how many stand above the failing one is stack_data's choice
    direct_lines = re.sub(r"(?m)(^(?:---->|) *|line )(\d+)", lambda m: m[1] + str(int(m[2]) + 1), plain(direct))
    expected = [" ".join(line.split()) for line in re.sub(r"Cell In\[\d+\]", "Job error", direct_lines).splitlines()]
    got = [" ".join(line.split()) for line in plain(fetched[:-1]).splitlines()]
    assert set(got) <= set(expected)
    assert [line for line in got if not line[:1].isdigit()] == [line for line in expected if not line[:1].isdigit()]
    assert fetched[-1] == "JobFailed: job error failed: ZeroDivisionError: division by zero"
    words, error, figure = modulo(story.later)
    assert words["text"] == "error: failed: ZeroDivisionError: division by zero\nx\n"
    assert error["traceback"] == fetched[:-1]
    assert figure == modulo(story.direct)[2]


def test_saved_outputs_are_static_and_nbconvert_renders_them(stories: dict[str, Story]) -> None:
    assert stories
    (page,) = HTML
    for text in (
        "<b>b</b>",
        "<i>rich</i>",
        "data:image/png;base64,",
        'class="dataframe"',
        "data:image/svg+xml;base64,",
        "ZeroDivisionError",
        "100%|██████████| 3/3",
    ):
        assert text in page, text
    assert "persist_magic:" not in page


# ---------------------------------------------------------------- what may go wrong

BROKEN = {
    "repr raises": "class Broken:\n    def __repr__(self): raise RuntimeError('no repr')\nBroken()",
    "html raises": "class Broken:\n    def __repr__(self): return 'plain'\n    def _repr_html_(self): raise RuntimeError('no html')\nBroken()",
    "attributes raise": "class Broken:\n    def __repr__(self): return 'plain'\n    def __getattr__(self, name): raise RuntimeError(name)\nBroken()",
    "answers to any name": "class Yes:\n    def __repr__(self): return 'plain'\n    def __getattr__(self, name): return Yes()\n    def __call__(self, *a, **k): return None\nYes()",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_result_that_cannot_be_shown_fails_no_job(session: Session, kind: str) -> None:
    job = session.persist("broken", BROKEN[kind])
    assert job.wait(60).describe(0) == "done"
    texts = [each["data"]["text/plain"] for each in job.outputs() if "data" in each]
    assert texts == ([] if kind == "repr raises" else ["plain"])


def test_a_damaged_record_of_outputs_is_told_and_hides_no_failure(session: Session) -> None:
    job = session.persist("bad", "display(1)\n1 / 0")
    job.wait(60)
    path = Path(job.directory.run(1).display_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(Damaged, match=r"run-1/display.jsonl"):
        job.show()
    with pytest.raises(JobFailed, match="ZeroDivisionError"):
        job.fetch()


def test_outputs_that_others_may_have_written_are_not_shown(session: Session) -> None:
    job = session.persist("open", "display(1)")
    job.wait(60)
    os.chmod(job.directory.run(1).path, 0o777)
    with pytest.raises(UnsafePath, match="others may write it"):
        job.show()


def test_in_plain_python_outputs_are_text(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    cell = "import sys\nfrom IPython.display import HTML\nprint('out')\nprint('err', file=sys.stderr)\ndisplay(HTML('<b>x</b>'))\n[1, 2]"
    job = session.persist("text", cell)
    job.wait(60)
    job.show()
    assert tuple(capsys.readouterr()) == ("out\n<IPython.core.display.HTML object>\n[1, 2]\n", "err\n")


def test_of_a_large_plain_result_the_shortened_text_is_shown(session: Session) -> None:
    job = session.persist("large", "list(range(1_000_000))")
    job.wait(60)
    (output,) = job.outputs()
    assert output["data"]["text/plain"].startswith("[0, 1, 2, 3")
    assert len(output["data"]["text/plain"]) < 1000


def test_a_running_cell_is_shown_as_far_as_it_has_come(session: Session, marker: Path) -> None:
    cell = f"import os, time\ndisplay('first')\nprint('so far')\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)\n'result'"
    job = session.persist("live", cell)
    wait_until(lambda: len(job.outputs()) == 2, "both outputs")
    marker.touch()
    job.wait(60)
    assert [each["output_type"] for each in job.outputs()] == ["display_data", "stream", "execute_result"]


BACKENDS = [("", 1), ("qtagg", 1), ("module://ipympl.backend_nbagg", 1), ("agg", 0), ("pdf", 0)]


@pytest.mark.parametrize(("backend", "figures"), BACKENDS, ids=[backend or "none" for backend, _ in BACKENDS])
def test_figures_are_kept_unless_the_session_chose_to_write_files(
    session: Session, monkeypatch: pytest.MonkeyPatch, backend: str, figures: int
) -> None:
    monkeypatch.setenv("MPLBACKEND", backend)
    if not backend:
        monkeypatch.delenv("MPLBACKEND")
    job = session.persist("figure", "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])")
    assert job.wait(60).describe(0) == "done"
    assert sum("image/png" in each["data"] for each in job.outputs()) == figures


def test_frames_of_ours_are_hidden(session: Session) -> None:
    cell = "import persist_magic\ndef keep(value):\n    persist_magic.checkpoint(value=value)\nkeep(x for x in 'abc')"
    job = session.persist("frames", cell)
    with pytest.raises(JobFailed) as failure:
        job.fetch(60)
    for text in (failure.value.traceback, "\n".join(failure.value.shown), job.stderr()):
        assert "in keep" in text
        assert "running.py" not in text
        assert "NotPickled" in text


def test_a_result_is_shown_without_running_what_is_in_it(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_in_the_job.py").write_text("class K:\n    def __repr__(self): return 'K()'\n")
    monkeypatch.syspath_prepend(tmp_path)
    job = session.persist("inner", "import only_in_the_job\n[only_in_the_job.K(), {1: (2, 'x')}]")
    job.wait(60)
    assert [each["data"] for each in job.outputs()] == [{"text/plain": "[K(), {1: (2, 'x')}]"}]
    assert "only_in_the_job" not in sys.modules


def test_packages_have_their_own_loaders(session: Session) -> None:
    cell = "import importlib.util, pkgutil\nlen(pkgutil.get_data('matplotlib', '__init__.py')) > 100, importlib.util.find_spec('IPython').loader.get_filename('IPython')[-11:]"
    assert session.persist("loaders", cell).fetch(60) == (True, "__init__.py")


def test_lines_of_the_users_own_modules_are_shown(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_that_fails.py").write_text("def inner(x):\n    return 1 / x  # here\n")
    monkeypatch.syspath_prepend(tmp_path)
    job = session.persist("module", "import mine_that_fails\nmine_that_fails.inner(0)")
    with pytest.raises(JobFailed) as failure:
        job.fetch(60)
    shown = "\n".join(failure.value.shown)
    assert re.search(r"mine_that_fails.py:2, in inner\(x\)", shown)
    assert "----> 2     return 1 / x" in shown
    assert "Job module, line 3" in shown
