"""A story told with a harm in the middle of it, and what is to be found afterwards.

Owns what every such test does: lay the state, give the command, look with a fresh process, give the command again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .laboratory import Answer, Laboratory, Operation, Plan
from .stories import BYSTANDER_VALUE, EDITED_VALUE, VALUE

Found = dict[str, Any]


def done(value: Any) -> Callable[[Found], bool]:
    return lambda found: found["state"] == "done" and found["value"] == value and not found["error"]


def absent(found: Found) -> bool:
    return not found["state"]


def not_taken(found: Found) -> bool:
    return found["state"] == "empty" and found["error"] == "NotSubmitted"


def failed(found: Found) -> bool:
    return found["state"] == "failed" and found["error"] in ("JobFailed", "TasksFailed") and bool(found["reason"])


def cancelled(found: Found) -> bool:
    return found["state"] == "cancelled" and found["error"] == "JobCancelled"


def running(found: Found) -> bool:
    return found["state"] == "running"


@dataclass(frozen=True)
class Story:
    """A command in the middle of which a process dies.

    Attributes
    ----------
    begin : str
        The state that it begins with, or "running" for a job that runs.
    command : str
    role : str
        Of the process that dies.
    may_be : tuple of predicates
        What may be found then; one of them must hold.
    at_last : predicate
        What must be found when the command has been given again.
    """

    begin: str
    command: str
    role: str
    may_be: tuple[Callable[[Found], bool], ...]
    at_last: Callable[[Found], bool]

    def __str__(self) -> str:
        return f"{self.command}, {self.role}"


SMALL = done(42)
SWEPT = done([10, 20, 30])


STORIES = [
    # a session that dies never makes a job fail
    Story("bystander", "submit", "session", (absent, not_taken, done(VALUE)), done(VALUE)),
    Story("bystander", "submit_small", "supervisor", (failed, SMALL), SMALL),
    Story("bystander", "submit", "child", (failed, done(VALUE)), done(VALUE)),
    Story("bystander", "submit_sweep", "session", (absent, not_taken, SWEPT), SWEPT),
    Story("bystander", "submit_sweep", "supervisor", (failed, SWEPT), SWEPT),
    Story("bystander", "submit_sweep", "child", (failed, SWEPT), SWEPT),
    Story("bystander", "submit_sweep", "task", (failed, SWEPT), SWEPT),
    Story("done", "submit_edited", "session", (SMALL, not_taken, done(EDITED_VALUE)), done(EDITED_VALUE)),
    Story("done", "rerun", "session", (SMALL, not_taken), SMALL),
    Story("done", "rerun", "supervisor", (failed, SMALL), SMALL),
    Story("done", "clean", "session", (SMALL, absent), absent),
    Story("running", "cancel", "session", (running, cancelled), cancelled),
    Story("running", "cancel", "supervisor", (running, cancelled), cancelled),
    Story("running", "cancel", "child", (cancelled,), cancelled),
]


def begin(lab: Laboratory, story: Story, plan: Plan | None = None) -> int:
    """Lay the state that a story begins with; return how many operations of the role have gone before."""
    if story.begin != "running":
        lab.begin_with(story.begin)
        return 0
    lab.begin_with("bystander")
    lab.call("submit_waiting", plan=plan if story.role != "session" else None).value()
    lab.call("await_begin").value()
    return max((each.number for each in lab.operations() if each.role == story.role), default=0)


def tell(lab: Laboratory, story: Story, plan: Plan | None = None) -> tuple[Answer, Found]:
    """Give the command, and look with a fresh process when nothing goes on any more."""
    answer = lab.call(story.command, plan=plan, role="session" if story.role == "session" else "")
    # a supervisor that goes together with its child leaves nothing to carry a cancel out, but for a moment the child
    may_hang = story.command == "cancel" and story.role != "child"
    return answer, lab.call("look_at_cancel" if may_hang else "look").value()


def operations(lab: Laboratory, story: Story) -> list[Operation]:
    """Return what a process of the story does to the root from the command on, if nothing goes wrong."""
    before = begin(lab, story)
    answer, found = tell(lab, story)
    assert not answer.error, answer
    assert any(holds(found) for holds in story.may_be), found
    # of the tasks of a sweep each counts its own
    numbered = {each.number: each for each in lab.operations() if each.role == story.role and each.number > before}
    return list(numbered.values())


def problem(lab: Laboratory, story: Story, plan: Plan, answer: Answer, found: Found, again: bool = True) -> str:
    """Return what is wrong with what was found after a harm, and when the command is given again; "" if nothing is.

    Parameters
    ----------
    again : bool
        Whether to give the command again.
    """
    struck = [each for each in lab.operations() if (each.role, each.number) == (plan.role, plan.number)]
    if not struck:
        return f"{plan}: it never came to that"
    where = f"{plan} {struck[0].call} {struck[0].path}: {answer.error} {answer.get('words', '')} found {found}"
    if found["bystander"] != BYSTANDER_VALUE:
        return f"{where}: the bystander is not what it was"
    if not any(holds(found) for holds in story.may_be):
        return where
    if not running(found) and (living := lab.living()):
        return f"{where}: but there live {living}"
    if not again:
        return ""
    then = give_again(lab, story, found)
    if not story.at_last(then):
        return f"{where}; after the same command {then}"
    left = lab.call("what_is_left").value()
    return f"{where}; there is left {left}" if left else ""


def give_again(lab: Laboratory, story: Story, found: Found) -> Found:
    """Give the command again, as who reads the state would: what failed is run again, what is gone is not deleted."""
    command = "rerun" if failed(found) else story.command
    answer = lab.call(command)
    assert not answer.error or (answer.error == "NoSuchJob" and absent(found) and command == "clean"), answer
    again: Found = lab.call("look").value()
    return again


def go_through(lab: Laboratory, story: Story, plans: Sequence[Plan], wrong: Callable[[Plan, Answer, Found], str]) -> None:
    """Let a story happen with each harm; fail with all that is wrong, as told by the judge, "" if nothing is."""
    problems = []
    for plan in plans:
        begin(lab, story, plan)
        if words := wrong(plan, *tell(lab, story, plan)):
            problems.append(words)
    assert not problems, "\n".join([f"{len(problems)} of {len(plans)} harms:", *problems])
