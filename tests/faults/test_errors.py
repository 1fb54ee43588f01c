"""The file system refuses, at each operation of each process; then a fresh one looks.

A session gets an error of ours and nothing is left behind, or its command has done what it says. A job that cannot write ends
as failed, or as done with the right value; and when the disk is well again the same command works.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence

import pytest

from .laboratory import Answer, Laboratory, Operation, Plan
from .plot import STORIES, Found, Story, go_through, not_taken, operations, problem

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)

OF_SESSIONS = [story for story in STORIES if story.role == "session"]
OF_WORKERS = [
    story for story in STORIES if story.role != "session" and story.command != "rerun"
]  # which is as the first run


def errors_of(story: Story, operation: Operation) -> Sequence[int]:
    """All errors for what is written when a job is submitted and runs; for everything else one of them in turn."""
    submits = story.begin == "bystander" and (story.role != "session" or story.command == "submit")
    return ERRORS if submits and "write" in operation.call else ERRORS[operation.number % len(ERRORS) :][:1]


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
    plans = list(harms(lab, story, lasting=True))

    def wrong(plan: Plan, answer: Answer, found: Found) -> str:
        if answer.error and not answer.ours:
            return f"{plan}: not told as ours: {answer.error} {answer['words']}\n{answer['trace']}"
        if not unchanged(story, plan, answer, found):
            return f"{plan}: {answer.error} {answer.get('words', '')} yet found {found}"
        return problem(lab, story, plan, answer, found)

    go_through(lab, story, plans, wrong)
    counted("refused operations", len(plans))


@pytest.mark.parametrize("story", OF_WORKERS, ids=str)
def test_the_disk_refuses_a_job(lab: Laboratory, story: Story, counted: Callable[[str, int], None]) -> None:
    plans = list(harms(lab, story, lasting=False))

    def wrong(plan: Plan, answer: Answer, found: Found) -> str:
        assert not answer.error, answer
        return problem(lab, story, plan, answer, found, again=plan.number % 3 == 0)

    go_through(lab, story, plans, wrong)
    counted("refused operations", len(plans))
