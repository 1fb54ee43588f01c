"""The benchmarks: what they judge and how they tell it; no test depends on how long anything takes."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .benchmarks import __main__ as command
from .benchmarks import jobs, table
from .benchmarks.measure import (
    NOT_INSTALLED,
    Comparison,
    Setting,
    beside,
    in_turns,
    scaled,
    spread,
)
from .benchmarks.part import PARTS, measured
from .benchmarks.peers import Candidate, Tool, opened
from .cluster.cluster import PACKAGES, Cluster, ClusterError


@pytest.mark.parametrize(
    ("comparison", "verdict"),
    [
        (Comparison("it", [2.0], "peer", [1.0], 2.0), "ok"),
        (Comparison("it", [2.0], "peer", [1.0], 1.9), "MISSED"),
        (Comparison("it", [2.0], "peer", [1.0]), "–"),  # only told
        (Comparison("it", [2.0], "peer", [], 1.9), "–"),  # the peer is not there
        (Comparison("it", [0.02], goal=0.03), "ok"),
        (Comparison("it", [0.04], goal=0.03), "MISSED"),
        (Comparison("it", goal=0.03), "–"),
        (Comparison("it", [0], goal=0, unit=""), "ok"),
        (Comparison("it", [1], goal=0, unit=""), "MISSED"),
        (Comparison("it", [1.154], "peer", [1.0], 1.15), "ok"),  # as it is read
        (Comparison("it", [1.156], "peer", [1.0], 1.15), "MISSED"),
        (Comparison("it", [0.0206], "peer", [1.0], 0.02), "MISSED"),
        (Comparison("it", [1, 9, 9], "peer", [1, 1, 1], 2.0), "MISSED"),  # the median is judged
        (Comparison("it", [1, 1, 9], "peer", [1, 1, 1], 2.0), "ok"),
    ],
)
def test_a_comparison_is_judged_by_its_median_as_it_is_shown(comparison: Comparison, verdict: str) -> None:
    assert comparison.verdict == verdict


def test_each_measurement_is_compared_with_the_peers_of_its_turn() -> None:
    slower_and_slower = Comparison("it", [2, 4, 8], "peer", [1, 2, 4], 2.0)
    assert slower_and_slower.ratios == [2, 2, 2]
    assert Comparison("it", [2, 4, 8], "slow peer", [4], 2.0).ratios == [0.5]


def test_spread_is_the_quartiles_and_the_extremes_of_few() -> None:
    assert spread([5, 1, 3, 2, 4]) == (2, 4)
    assert spread([3, 1, 2]) == (1, 3)


def test_a_goal_for_a_minute_is_scaled() -> None:
    assert scaled(12, 60) == 12
    assert scaled(12, 20) == 4


def test_measurements_take_turns_after_one_that_does_not_count() -> None:
    order: list[str] = []

    def called(name: str) -> float:
        order.append(name)
        return float(len(order))

    taken = in_turns(
        {"a": lambda: called("a"), "b": lambda: {"x": called("b"), "y": 0.0}, "slow": lambda: called("s")},
        {"a": 2, "b": 2, "slow": 1},
        before=lambda: order.append("-"),
    )
    assert "".join(order) == "-a-b-s-a-b-s-a-b"
    assert taken == {"a": [8, 14], "x": [10, 16], "y": [0, 0], "slow": [12]}


def test_a_peer_that_is_not_installed_is_told_beside_those_that_are() -> None:
    @contextlib.contextmanager
    def absent(folder: Path) -> Iterator[Tool]:
        import a_peer_that_nobody_has  # type: ignore[import-not-found]

        yield a_peer_that_nobody_has

    @contextlib.contextmanager
    def there(folder: Path) -> Iterator[Tool]:
        yield Tool(call=lambda function, *arguments: function(*arguments), map=lambda function, *lists: [])

    candidates = {"absent": Candidate(absent, goal=1.0), "there": Candidate(there, "as it is", goal=1.0, slow=True)}
    with opened(candidates, Path(), lambda tool, _: lambda: tool.call(abs, -4), slow_runs=2, slow_note="two runs") as peers:
        missing, measured = beside("it", lambda: 2.0, peers, 3, lambda taken: f"{len(taken['ours'])} runs")
    assert (missing.peer, missing.theirs, missing.note, missing.verdict) == ("absent", (), f"3 runs; {NOT_INSTALLED}", "–")
    assert (measured.ratios, measured.note, measured.verdict) == ([0.5] * 2, "3 runs; two runs; as it is", "ok")


COMPARISONS = [
    Comparison(
        "wink",
        [0.0051, 0.005, 0.0049, 0.005],
        "a peer with a long name, and longer",
        [0.001] * 4,
        4.0,
        "a note",
        part="eyes",
    ),
    Comparison("weigh", [5e8], goal=1e9, unit="B", note="another " * 30, part="eyes"),
    Comparison("weigh", [5e8], "scales", [2.5e8], unit="B", note="a note", part="eyes"),
    Comparison("walk a long way, as far as the feet go and not a step more", [12.5], "taxi", [25.0], 1.0, part="feet"),
    Comparison("count toes", [9, 10, 11], goal=10, unit="", part="feet"),
    Comparison("the rest of feet", note="no shoes; as root: apt-get install shoes", part="feet"),
]


def test_the_table_fits_120_columns_and_says_what_misses_its_goal() -> None:
    text = table.text(COMPARISONS, "Python, shoes 1.0")
    lines = text.splitlines()
    assert max(map(len, lines)) <= 120
    assert "\x1b" not in text
    (wink,) = [line for line in lines if line.startswith("   wink")]
    assert re.split(r"\s{2,}", wink.strip())[:2] == ["wink [1]", "5 ms"]
    assert wink.split()[-1] == "MISSED"
    assert "500 MB  scales, 250 MB" in text
    assert "12.5 s  taxi, 25 s" in text
    assert "[1] a note" in lines
    assert "Python, shoes 1.0" in lines
    assert (
        lines[-1] == "5 comparisons, 4 with a goal, 1 miss it: wink (a peer with a long name, and longer) (1 not measured)"
    )
    assert "no shoes; as root: apt-get install shoes" in text


def test_the_table_as_markdown_has_a_row_for_each_comparison() -> None:
    lines = table.markdown(COMPARISONS, "Python, shoes 1.0").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert {row.count("|") for row in rows} == {6}
    assert len(rows) == 2 + 2 + len(COMPARISONS)
    assert lines[0] == "Python, shoes 1.0."
    assert "| wink [1] | 5 ms | a peer with a long name, and longer, 1 ms | 5 | 4 (missed) |" in rows
    assert "| count toes | 10 | – | – | 10 |" in rows
    assert "[1] a note  " in lines


@pytest.mark.parametrize(
    ("comparison", "shown"),
    [
        (Comparison("it", [0.001, 0.002, 0.003]), "1–3 ms"),
        (Comparison("it", [0.9, 1.0, 2.5]), "900 ms–2.5 s"),
        (Comparison("it", [1000, 2000], unit="B"), "1–2 kB"),
        (Comparison("it", [9, 10, 11], unit=""), "9–11"),
        (Comparison("it", [1, 2, 3], "peer", [2, 2, 2]), "0.5–1.5"),
    ],
)
def test_spread_has_its_unit(comparison: Comparison, shown: str) -> None:
    assert f" {shown} " in table.text([comparison], "")


def test_a_line_of_progress_says_what_it_is_about() -> None:
    assert table.line(COMPARISONS[3]) == f"feet: {COMPARISONS[3].what}: 12.5 s; beside taxi, 25 s, ratio 0.5; ok"
    assert table.line(COMPARISONS[5]) == "feet: the rest of feet: no shoes; as root: apt-get install shoes"


def test_a_part_runs_in_a_process_of_its_own_and_says_what_to_install() -> None:
    (told,) = measured("slurm", Setting(quick=True, cluster=""))
    assert (told.part, told.verdict) == ("slurm", "–")
    assert f"apt-get install {' '.join(PACKAGES)}" in told.note


def test_without_a_cluster_the_others_go_on(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def start(cluster: Cluster) -> Cluster:
        raise ClusterError("there is no slurmctld")

    monkeypatch.setattr(Cluster, "start", start)
    with command.cluster(["jobs", "slurm"]) as place:
        assert place == ""
    assert "there is no slurmctld" in capsys.readouterr().err


def test_a_real_comparison_has_a_pair_for_each_run() -> None:
    (imports,) = jobs.worker_start(Setting(quick=True))
    assert len(imports.ratios) == Setting(quick=True).runs
    assert min(imports.ratios) > 0


def test_an_unknown_part_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "jobs", "feet"])
    with pytest.raises(SystemExit):
        command.main()
    words = capsys.readouterr().err
    assert "no such part: feet" in words
    assert all(part in words for part in PARTS)
