"""A sweep of ten thousand tasks on this machine; the same on a cluster is among the tests of Slurm."""

from __future__ import annotations

from persist_magic.each import checked
from persist_magic.sweep import Sweep

from .conftest import Session


def test_ten_thousand_tasks(session: Session) -> None:
    session.run("offset = 7")
    cell = "if a == 50 and b == 50: raise ValueError('the middle')\nif b == 0: print('row', a)\na * 100 + b + offset"
    job = session.persist("many", cell, each=checked([(("a",), range(100)), (("b",), range(100))]))
    assert isinstance(job, Sweep)
    got = job.fetch(600, errors="return")
    assert [each for each in got if isinstance(each, int)] == [n + 7 for n in range(10_000) if n != 5050]
    assert "the middle" in str(got[5050])
    assert job.status().reason == "1 of 10000 tasks failed; task 5050 (a=50, b=50): ValueError: the middle"
    assert job[4200].stdout() == "row 42\n"
    assert len([path for path in job.path.rglob("*") if path.is_file()]) < 300
    job.rerun(failed=True).wait(60)
    assert job.counts is not None
    assert (job.counts.done, job.counts.failed) == (9_999, 1)
