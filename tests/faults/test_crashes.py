"""A process is killed at each of its operations on the root; then a fresh one looks.

The state must be true, what can be fetched right, no other job touched, and the same command must work when it is given again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from .laboratory import Laboratory, Operation, Plan
from .plot import SMALL, SWEPT, Story, absent, begin, cancelled, done, failed, not_taken, operations, problem, running, tell
from .stories import EDITED_VALUE, VALUE

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


def chosen(harm: str, of: Sequence[Operation]) -> list[Operation]:
    """Those operations at which a harm does what a plain kill there does not."""
    if harm == "torn":
        return [each for each in of if "write" in each.call]
    if harm == "power":  # before something is synced, and when it has got its name
        after = [later for each, later in itertools.pairwise(of) if each.call in ("rename", "link")]
        return [each for each in of if "sync" in each.call or each in after]
    return list(of)


@pytest.mark.parametrize("harm", ["kill", "torn", "power"])
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_process_dies_at_any_operation(
    lab: Laboratory, story: Story, harm: str, counted: Callable[[str, int], None]
) -> None:
    points = chosen(harm, operations(lab, story))
    problems = []
    for point in points:
        plan = Plan(story.role, point.number, harm)
        begin(lab, story, plan)
        answer, found = tell(lab, story, plan)
        assert answer.killed == (story.role == "session"), answer
        assert not answer.error, answer
        if wrong := problem(lab, story, plan, answer, found):
            problems.append(wrong)
    assert not problems, "\n".join([f"{len(problems)} of {len(points)} points:", *problems])
    counted("crash points", len(points))
