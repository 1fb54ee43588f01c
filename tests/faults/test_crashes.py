"""A process is killed at each of its operations on the root; then a fresh one looks.

The state must be true, what can be fetched right, no other job touched, and the same command must work when it is given again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from .laboratory import Laboratory, Plan, laboratory
from .stories import BYSTANDER_VALUE, EDITED_VALUE, VALUE

Found = dict[str, Any]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A laboratory with the states that the stories begin with."""
    with laboratory(tmp_path_factory.mktemp("laboratory")) as place:
        place.call("bystander").value()
        place.keep("bystander")
        place.call("submit_small").value()
        place.call("await_end").value()
        place.keep("done")
        yield place


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


def tell(lab: Laboratory, story: Story, plan: Plan | None = None) -> Found:
    """Give the command, and look with a fresh process when nothing goes on any more."""
    answer = lab.call(story.command, plan=plan, role="session" if story.role == "session" else "")
    assert answer.killed == (plan is not None and plan.role == "session"), answer
    assert not answer.error, answer
    found: Found = lab.call("look_at_cancel" if story.command == "cancel" else "look").value()
    return found


def points(lab: Laboratory, story: Story, harm: str) -> list[int]:
    """The numbers of the operations at which a process of the story is to die."""
    before = begin(lab, story)
    found = tell(lab, story)
    assert any(holds(found) for holds in story.may_be), found
    calls = {each.number: each.call for each in lab.operations() if each.role == story.role and each.number > before}
    return [number for number, call in calls.items() if matters(harm, call, calls.get(number - 1, ""))]


def matters(harm: str, call: str, call_before: str) -> bool:
    """Whether a harm at an operation does anything that a plain kill there does not."""
    if harm == "torn":
        return "write" in call
    if harm == "power":
        return "sync" in call or call_before in ("rename", "link")
    return True


def give_again(lab: Laboratory, story: Story, found: Found) -> Found:
    """Give the command again, as who reads the state would: what failed is run again, what is gone is not deleted."""
    command = "rerun" if failed(found) else story.command
    answer = lab.call(command)
    assert not answer.error or (answer.error == "NoSuchJob" and absent(found) and command == "clean"), answer
    again: Found = lab.call("look").value()
    return again


def problem(lab: Laboratory, story: Story, plan: Plan) -> str:
    """Let the story happen with the harm; return what is wrong with what came of it, or ""."""
    found = tell(lab, story, plan)
    struck = [each for each in lab.operations() if (each.role, each.number) == (plan.role, plan.number)]
    where = f"{plan} {' '.join(struck[0].call + ' ' + struck[0].path for each in struck[:1])}: found {found}"
    if not struck:
        return f"{where}: never came to that"
    if found["bystander"] != BYSTANDER_VALUE:
        return f"{where}: the bystander is not what it was"
    if not any(holds(found) for holds in story.may_be):
        return where
    if not running(found) and (living := lab.living()):
        return f"{where}: but there live {living}"
    again = give_again(lab, story, found)
    if not story.at_last(again):
        return f"{where}; after the same command {again}"
    left = lab.call("what_is_left").value()
    return f"{where}; there is left {left}" if left else ""


@pytest.mark.parametrize("harm", ["kill", "torn", "power"])
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_process_dies_at_any_operation(
    lab: Laboratory, story: Story, harm: str, counted: Callable[[str, int], None]
) -> None:
    numbers = points(lab, story, harm)
    problems = []
    for number in numbers:
        plan = Plan(story.role, number, harm)
        begin(lab, story, plan)
        if wrong := problem(lab, story, plan):
            problems.append(wrong)
    assert not problems, "\n".join([f"{len(problems)} of {len(numbers)} points:", *problems])
    counted("crash points", len(numbers))
