"""What the supervisor says of a run from how its child ended, by table."""

from __future__ import annotations

import pytest

from persist_magic.store import CancelRequest, Outcome
from persist_magic.worker.supervisor import EXIT_NOT_WRITTEN, ChildEnd, verdict

DONE = Outcome("t", 1.0, "done", "", "", None, None, {})
FAILED = Outcome("t", 1.0, "failed", "ValueError: x", "", None, None, {})
CANCEL = CancelRequest(1.0, "ann", "here", False)


def exited(code: int) -> ChildEnd:
    return ChildEnd(code, None, 0.0, 3_000_000)


def killed(number: int) -> ChildEnd:
    return ChildEnd(None, number, 0.0, 3_000_000_000)


CASES = [
    ("well", exited(0), DONE, None, False, "done", ""),
    ("an exception", exited(1), FAILED, None, False, "failed", "ValueError: x"),
    ("killed", killed(9), None, None, False, "failed", "killed by signal 9 (SIGKILL), perhaps out of memory; peak memory 3000 MB"),
    ("aborted", killed(6), None, None, False, "failed", "killed by signal 6 (SIGABRT)"),
    ("a signal without a name", killed(62), None, None, False, "failed", "killed by signal 62"),
    ("os._exit(0) is no success", exited(0), None, None, False, "failed", "its process ended with exit code 0 before the cell came to its end (os._exit?)"),
    ("no room for the outcome", exited(EXIT_NOT_WRITTEN), None, None, False, "failed", "its result could not be written; stderr tells why"),
    ("cancelled", exited(1), FAILED, CANCEL, False, "cancelled", "cancelled by ann"),
    ("cancelled, killed", killed(9), None, CANCEL, False, "cancelled", "cancelled by ann"),
    ("terminated by somebody else", exited(1), FAILED, None, True, "failed", "terminated from outside (kill, or the machine's shutdown)"),
    ("the cell was faster than the cancel", exited(0), DONE, CANCEL, True, "done", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("end", "outcome", "cancel", "terminated", "word", "reason"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_verdict(
    end: ChildEnd, outcome: Outcome | None, cancel: CancelRequest | None, terminated: bool, word: str, reason: str
) -> None:
    assert verdict(end, outcome, cancel, terminated)[:2] == (word, reason)


def test_a_crash_after_the_end_is_told_and_takes_nothing_back() -> None:
    assert verdict(killed(11), DONE, None, False) == (
        "done",
        "",
        "after its end the process was killed by signal 11 (SIGSEGV)",
    )
