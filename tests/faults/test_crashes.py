"""A process is killed at each of its operations on the root; then a fresh one looks.

The state must be true, what can be fetched right, no other job touched, and the same command must work when it is given again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from .laboratory import Answer, Laboratory, Operation, Plan
from .plot import STORIES, Found, Story, go_through, operations, problem


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
    plans = [Plan(story.role, point.number, harm) for point in chosen(harm, operations(lab, story))]

    def wrong(plan: Plan, answer: Answer, found: Found) -> str:
        assert answer.killed == (story.role == "session"), answer
        assert not answer.error, answer
        return problem(lab, story, plan, answer, found)

    go_through(lab, story, plans, wrong)
    counted("crash points", len(plans))
