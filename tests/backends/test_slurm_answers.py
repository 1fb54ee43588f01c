"""What Slurm's words mean, by table: its programs' output was recorded from Slurm 22.05."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persist_magic.backends.slurm import _checked, _value, directives, parse_scontrol
from persist_magic.backends.slurm_answers import (
    FILES_SECONDS,
    RECORD_SECONDS,
    REQUEUE_SECONDS,
    Row,
    comment,
    observation,
    parse_sacct,
    parse_squeue,
    reason_words,
)
from persist_magic.backends.slurm_programs import clean_environment
from persist_magic.errors import BackendError
from persist_magic.status import JobState, Word
from persist_magic.walltime import format_walltime, parse_walltime

NOW = 1_795_586_500.0
TOKEN = "63bb5201e4a2206744893e25fa086e85"

SQUEUE = f"""\
CLUSTER: test
13|RUNNING|1795586430|1795586730|5:00|n1|None|persist_magic:{TOKEN}:1
14|PENDING|1795586431|N/A|1-00:00:00||JobHeldUser|a|b persist_magic:{TOKEN}:2
15_7|TIMEOUT|1795586431|1795586499|1:00|n[1-2]|TimeLimit|(null)
slurm_load_jobs error: Unable to contact slurm controller (connect failure)
"""

SACCT = """\
13|CANCELLED by 1000|1795586430|1795586499|00:05:00|n1|0:15
14|FAILED|1795586430|1795586499|UNLIMITED|n1|0:9
14|COMPLETED|1695586430|1695586499|00:05:00|n3|0:0
15|OUT_OF_ME+|1795586430|Unknown|00:05:00|n1|0:125
x
"""


def test_squeues_rows() -> None:
    rows = parse_squeue(SQUEUE)
    assert rows == {
        "13": Row("13", "RUNNING", 1795586430.0, 1795586730.0, 300.0, "n1", (TOKEN, 1), "squeue", "None"),
        "14": Row("14", "PENDING", 1795586431.0, None, 86400.0, "", (TOKEN, 2), "squeue", "JobHeldUser"),
        "15_7": Row("15_7", "TIMEOUT", 1795586431.0, 1795586499.0, 60.0, "n[1-2]", None, "squeue", "TimeLimit"),
    }


def test_saccts_rows_of_an_id_that_came_twice_the_later_one_counts() -> None:
    rows = parse_sacct(SACCT)
    assert {id: (row.state, row.detail) for id, row in rows.items()} == {
        "13": ("CANCELLED", "0:15 by 1000"),
        "14": ("FAILED", "0:9"),
        "15": ("OUT_OF_ME", "0:125"),
    }


ARRAYS = [
    ("7", ["7"]),
    ("7_3", ["7_3"]),
    ("7_[1,3-5]", ["7_1", "7_3", "7_4", "7_5"]),
    ("7_[0-2%1]", ["7_0", "7_1", "7_2"]),
    ("7_[0-20:10,25]", ["7_0", "7_10", "7_20", "7_25"]),
    ("7.batch", []),
    ("7_[x]", []),
    ("7+0", []),
]


@pytest.mark.parametrize(("ids", "expected"), ARRAYS, ids=[ids for ids, _ in ARRAYS])
def test_saccts_row_of_an_array_that_never_began_is_one_for_each_of_its_jobs(ids: str, expected: list[str]) -> None:
    rows = parse_sacct(f"{ids}|CANCELLED by 1000|1|2|5:00|None assigned|0:0\n")
    assert list(rows) == expected
    assert all((row.id, row.state, row.never_began) == (id, "CANCELLED", True) for id, row in rows.items())


def test_the_mark_tells_an_arrays_first_chunk() -> None:
    words = comment(TOKEN, 2, "mine", 1001)
    rows = parse_squeue(f"7_3|PENDING|1|N/A|5:00||Resources|{words}\n8|PENDING|1|N/A|5:00||Resources|{comment(TOKEN, 2)}")
    assert [(row.mark, row.first) for row in rows.values()] == [((TOKEN, 2), 1001), ((TOKEN, 2), 0)]


@given(st.text())
def test_the_parsers_take_any_text(text: str) -> None:
    for rows in (parse_squeue(text), parse_sacct(text), parse_squeue(f"1|{text}"), parse_sacct(f"1|{text}")):
        assert all(isinstance(row, Row) for row in rows.values())
    parse_scontrol(text)


def row(state: str, *, age: float = 1000.0, detail: str = "", source: str = "squeue", limit: float | None = 14400.0) -> Row:
    return Row("7", state, NOW - 5000, NOW - age, limit, "n1", None, source, detail)


def told(each: Row, interrupted: bool = False) -> tuple[Word, JobState | None, str]:
    said = observation(each, name="train", now=NOW, asked=NOW, first_seen=NOW - 1000, interrupted=interrupted)
    return said.word, said.state, said.reason


LIVE = [
    ("PENDING", Word.QUEUED), ("CONFIGURING", Word.QUEUED), ("REQUEUED", Word.QUEUED), ("REQUEUE_HOLD", Word.QUEUED),
    ("REQUEUE_FED", Word.QUEUED), ("SPECIAL_EXIT", Word.QUEUED), ("RUNNING", Word.ALIVE), ("SUSPENDED", Word.ALIVE),
    ("COMPLETING", Word.ALIVE), ("RESIZING", Word.ALIVE), ("SIGNALING", Word.ALIVE), ("STAGE_OUT", Word.ALIVE), ("STOPPED", Word.ALIVE),
]  # fmt: skip

ENDED = [
    ("COMPLETED", None, "Slurm says that it completed, but it left no record of its end"),
    ("FAILED", None, "its worker ended without a record of its end"),
    ("CANCELLED", JobState.CANCELLED, "cancelled with scancel"),
    ("TIMEOUT", JobState.FAILED, "ran out of time after 4:00:00; %persist_rerun train -- -t 8:00:00"),
    ("OUT_OF_MEMORY", JobState.FAILED, "out of memory, by Slurm's limit; %persist_rerun train -- --mem=MORE"),
    ("NODE_FAIL", JobState.FAILED, "its node failed (n1); %persist_rerun train runs it again"),
    (
        "PREEMPTED",
        JobState.FAILED,
        "preempted by a job of higher priority, not queued again; %persist_rerun train runs it again",
    ),
    ("BOOT_FAIL", JobState.FAILED, "its node could not be booted (n1); %persist_rerun train runs it again"),
    ("DEADLINE", JobState.FAILED, "its deadline came; %persist_rerun train -- --deadline=LATER"),
    ("REVOKED", JobState.CANCELLED, "revoked: another cluster of the federation has taken it"),
]


@pytest.mark.parametrize(("state", "word"), LIVE)
def test_words_of_the_living(state: str, word: Word) -> None:
    assert told(row(state))[:2] == (word, None)


@pytest.mark.parametrize(("state", "proven", "reason"), ENDED)
def test_words_of_the_ended(state: str, proven: JobState | None, reason: str) -> None:
    assert told(row(state)) == (Word.GONE, proven, reason)


@given(st.text().filter(lambda word: word not in {word for word, *_ in (*LIVE, *ENDED)}))
def test_any_other_word_proves_nothing(state: str) -> None:
    assert told(row(state))[:2] == (Word.UNKNOWN, None)


@pytest.mark.parametrize(
    ("state", "patience"),
    [
        ("COMPLETED", FILES_SECONDS),
        ("TIMEOUT", RECORD_SECONDS),
        ("NODE_FAIL", REQUEUE_SECONDS),
        ("PREEMPTED", REQUEUE_SECONDS),
    ],
)
def test_an_end_counts_only_after_a_while(state: str, patience: float) -> None:
    assert told(row(state, age=patience - 1))[0] is Word.ALIVE
    assert told(row(state, age=patience + 1))[0] is Word.GONE


def test_a_run_that_wrote_its_end_is_waited_for_only_if_it_may_run_again() -> None:
    assert told(row("TIMEOUT", age=1), interrupted=True)[0] is Word.GONE
    assert told(row("PREEMPTED", age=1), interrupted=True)[0] is Word.ALIVE


def test_a_worker_that_is_gone_from_this_host_is_not_waited_for() -> None:
    def said(here: bool) -> Word:
        each = row("FAILED", age=RECORD_SECONDS + 1)
        return observation(each, name="train", now=NOW, asked=NOW, first_seen=NOW, interrupted=False, files_seen=here).word

    assert (said(False), said(True)) == (Word.ALIVE, Word.GONE)


@pytest.mark.parametrize(
    ("each", "reason"),
    [
        (row("FAILED", detail="0:9", source="sacct"), "its worker ended without a record of its end (signal 9)"),
        (row("FAILED", detail="127:0", source="sacct"), "its worker ended without a record of its end (exit code 127)"),
        (row("CANCELLED", detail="0:15 by 1000", source="sacct"), "cancelled with scancel by user 1000"),
        (row("CANCELLED", detail="DependencyNeverSatisfied"), "cancelled by Slurm: its dependency can never be met"),
        (row("TIMEOUT", limit=None), "ran out of time; %persist_rerun train -- -t LONGER"),
    ],
)
def test_what_else_slurm_tells_of_an_end(each: Row, reason: str) -> None:
    assert told(each)[2] == reason


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Resources", "waiting for resources"),
        ("DependencyNeverSatisfied", "its dependency can never be met"),
        ("JobHeldUser", "held by its user; scontrol release 7"),
        ("AssocGrpCpuLimit", "the account's limit is reached (AssocGrpCpuLimit)"),
        ("QOSMaxJobsPerUserLimit", "the quality of service's limit is reached (QOSMaxJobsPerUserLimit)"),
        ("ReqNodeNotAvail, UnavailableNodes:n1", "a node that it asks for is not available"),
        ("None", "waiting to be scheduled"),
        ("SomethingNew", "Slurm says SomethingNew"),
    ],
)
def test_reasons_in_words(reason: str, words: str) -> None:
    assert reason_words(reason, "7") == words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 300), ("5:30", 330), ("1:00:00", 3600), ("1-00", 86400), ("1-02:03", 93780), ("2-00:00:01", 172801),
     ("UNLIMITED", None), ("Partition_Limit", None), ("", None), ("1:2:3:4", None), ("٣", None)],
)  # fmt: skip
def test_spans_of_time(text: str, seconds: float | None) -> None:
    assert parse_walltime(text) == seconds


@given(st.integers(0, 10**8))
def test_spans_of_time_there_and_back(seconds: int) -> None:
    assert parse_walltime(format_walltime(seconds)) == seconds


# ---------------------------------------------------------------- what sbatch is told


@given(st.uuids(), st.integers(1, 10**8), st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])))
def test_a_submission_is_found_by_its_comment(token: object, run: int, of_user: str) -> None:
    mark = re.sub("-", "", str(token))
    text = comment(mark, run, of_user)
    assert parse_squeue(f"1|PENDING|1|N/A|1:00||None|{text}")["1"].mark == (mark, run)


@pytest.mark.parametrize(
    "words",
    [
        ["-p", "gpu", "-t", "4:00:00", "--gres=gpu:1"],
        ["--partition", "gpu", "--exclusive", "-H", "--mail-type=END"],
        ["-pgpu", "-t5", "--nodelist", "n1"],
        ["--exclusive=user", "--hold"],
        ["--nice", "--comment", "words of mine"],
        ["--verbose", "--wait-all-nodes=1"],
    ],
)
def test_options_go_to_sbatch_as_they_are(words: list[str]) -> None:
    assert _checked(words) == words


@given(st.lists(st.sampled_from(["-p", "gpu", "--hold", "--time=5", "-t5", "x.sh", "-", "--exclusive", "--mem", "1"])))
def test_no_bare_word_reaches_sbatch(words: list[str]) -> None:
    """A word is an option, or stands right behind one that takes a word; else sbatch would take it for the script."""
    takes = {"-p", "--mem"}
    bare = any(
        (not word.startswith("-") or word == "-") and (index == 0 or words[index - 1] not in takes)
        for index, word in enumerate(words)
    )
    if bare:
        with pytest.raises(BackendError, match="is no option of sbatch"):
            _checked(words)
    else:
        assert _checked(words) == words


def test_the_last_value_counts() -> None:
    assert _value(["-M", "a", "--clusters=b"], "--clusters", "-M") == "b"
    assert _value(["--clusters", "a", "-Mb"], "--clusters", "-M") == "b"
    assert _value(["--comment"], "--comment") == ""


@pytest.mark.parametrize(
    ("cell", "lines"),
    [
        ("#SBATCH -t 5\nx = 1\n#SBATCH -t 6", ["#SBATCH -t 5"]),
        ("# words\n\n#SBATCH -p gpu  \n#SBATCH --mem=1G\n1", ["#SBATCH -p gpu", "#SBATCH --mem=1G"]),
        ("'''\n#SBATCH -t 5\n'''", []),
        ("#SBATCHES\n##SBATCH -t 5", []),
    ],
)
def test_directives_at_the_top_of_a_cell(cell: str, lines: list[str]) -> None:
    assert directives(cell) == lines


def test_a_jobs_own_variables_are_not_handed_on() -> None:
    site = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "physics", "PATH": "/bin", "OMPI_MCA_btl": "self"}
    job = {"SLURM_JOB_ID": "1", "SLURM_MEM_PER_NODE": "5", "SBATCH_MEM_BIND": "x", "PMIX_RANK": "0", "SQUEUE_FORMAT": "%i"}
    fixed = {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}
    assert clean_environment({**site, **job}, "squeue") == {**site, **fixed}
    assert clean_environment({**site, **job}, "sbatch") == site
    outside = {"SLURM_CPU_BIND": "none", "SLURM_TIME_FORMAT": "relative"}
    assert clean_environment({**site, **outside}, "sbatch") == {**site, **outside}
    assert clean_environment({**site, **outside}, "sacct") == {**site, "SLURM_CPU_BIND": "none", **fixed}


def test_what_scontrol_shows() -> None:
    text = "JobId=7 JobName=a b UserId=root(0) Comment=x=1 y=2 Dependency=(null) CPUs/Task=1 ReqB:S:C:T=0:0:*:*\n"
    assert parse_scontrol(text) == {
        "JobId": "7",
        "JobName": "a b",
        "UserId": "root(0)",
        "Comment": "x=1 y=2",
        "CPUs/Task": "1",
        "ReqB:S:C:T": "0:0:*:*",
    }
