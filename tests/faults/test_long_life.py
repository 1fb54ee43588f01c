"""A session that lives long and runs many jobs holds no more at its end than at its beginning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .soak import soak

JOBS, FIRST = 40, 15


def test_many_jobs_leave_nothing_in_their_session(root: str, counted: Callable[[str, int], None]) -> None:
    before, after = soak(root, JOBS, FIRST)
    assert (after.children, after.threads, after.descriptors) == (before.children, before.threads, before.descriptors)
    assert after.objects - before.objects < (JOBS - FIRST) / 2  # less than one object in two jobs
    assert after.size - before.size < 1000 * (JOBS - FIRST)
    assert [path.name for path in Path(root).iterdir() if not path.name.startswith((".lock", ".slots", ".git"))] == []
    counted("jobs of one session", JOBS)
