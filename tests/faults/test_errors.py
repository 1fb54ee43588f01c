"""The file system refuses, at each operation of each process; then a fresh one looks.

A session gets an error of ours and nothing is left behind, or its command has done what it says. A job that cannot write ends
as failed, or as done with the right value; and when the disk is well again the same command works.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence

import pytest

from .laboratory import Answer, Laboratory, Operation, Plan
from .plot import (
    SMALL,
    SWEPT,
    Found,
    Story,
    absent,
    begin,
    cancelled,
    done,
    failed,
    not_taken,
    operations,
    problem,
    running,
    tell,
)
from .stories import EDITED_VALUE, VALUE

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)

OF_SESSIONS = [
    Story("bystander", "submit", "session", (absent, not_taken, done(VALUE)), done(VALUE)),
    Story("bystander", "submit_sweep", "session", (absent, not_taken, SWEPT), SWEPT),
    Story("done", "submit_edited", "session", (SMALL, not_taken, done(EDITED_VALUE)), done(EDITED_VALUE)),
    Story("done", "rerun", "session", (SMALL, not_taken), SMALL),
    Story("done", "clean", "session", (SMALL, absent), absent),
    Story("running", "cancel", "session", (running, cancelled), cancelled),
]

OF_WORKERS = [
    Story("bystander", "submit_small", "supervisor", (failed, SMALL), SMALL),
    Story("bystander", "submit", "child", (failed, done(VALUE)), done(VALUE)),
    Story("bystander", "submit_sweep", "supervisor", (failed, SWEPT), SWEPT),
    Story("bystander", "submit_sweep", "child", (failed, SWEPT), SWEPT),
    Story("bystander", "submit_sweep", "task", (failed, SWEPT), SWEPT),
    Story("running", "cancel", "supervisor", (running, cancelled), cancelled),
    Story("running", "cancel", "child", (cancelled,), cancelled),
]


def errors_of(story: Story, operation: Operation) -> Sequence[int]:
    """All errors for what is written when a job is submitted and runs; for everything else one of them in turn."""
    thorough = story in (OF_SESSIONS[0], *OF_WORKERS[:5]) and "write" in operation.call
    return ERRORS if thorough else ERRORS[operation.number % len(ERRORS) :][:1]


def harms(lab: Laboratory, story: Story, lasting: bool) -> Iterator[Plan]:
    """The plans for a story; what is full, read-only or beyond a quota stays so for a session, an I/O error comes once."""
    for operation in operations(lab, story):
        for number in errors_of(story, operation):
            stays = "+" if lasting and number != errno.EIO else ""
            yield Plan(story.role, operation.number, f"{number}{stays}")


def unchanged(story: Story, plan: Plan, answer: Answer, found: Found) -> bool:
    """Whether a command that was refused has left what was before, and one that was not has done what it says.

    On a disk that has become read-only nothing can be taken back: what it had come to is told as what it is.
    """
    if answer.error:
        return story.may_be[0](found) or (plan.harm == f"{errno.EROFS}+" and not_taken(found))
    return story.at_last(found)


@pytest.mark.parametrize("story", OF_SESSIONS, ids=str)
def test_the_disk_refuses_a_session(lab: Laboratory, story: Story, counted: Callable[[str, int], None]) -> None:
    problems = []
    plans = list(harms(lab, story, lasting=True))
    for plan in plans:
        begin(lab, story, plan)
        answer, found = tell(lab, story, plan)
        if answer.error and not answer.ours:
            problems.append(f"{plan}: not told as ours: {answer.error} {answer['words']}\n{answer['trace']}")
        elif not unchanged(story, plan, answer, found):
            problems.append(f"{plan}: {answer.error} {answer.get('words', '')} yet found {found}")
        elif wrong := problem(lab, story, plan, answer, found):
            problems.append(wrong)
    assert not problems, "\n".join([f"{len(problems)} of {len(plans)} errors:", *problems])
    counted("refused operations", len(plans))


@pytest.mark.parametrize("story", OF_WORKERS, ids=str)
def test_the_disk_refuses_a_job(lab: Laboratory, story: Story, counted: Callable[[str, int], None]) -> None:
    problems = []
    plans = list(harms(lab, story, lasting=False))
    for plan in plans:
        begin(lab, story, plan)
        answer, found = tell(lab, story, plan)
        assert not answer.error, answer
        if wrong := problem(lab, story, plan, answer, found, again=plan.number % 3 == 0):
            problems.append(wrong)
    assert not problems, "\n".join([f"{len(problems)} of {len(plans)} errors:", *problems])
    counted("refused operations", len(plans))
