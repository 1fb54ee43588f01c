"""The batch of `sessions` tells what goes wrong in a story, and goes on with the others."""

import pytest

from .sessions import play

STORIES = {
    "all is well": ("x = 1", "assert x == 1\nx", "assert back == 1"),
    "the set-up fails": ("1 / 0", "1"),
    "the check fails": ("x = 1", "assert x == 2, 'x is one'"),
    "the session's check fails": ("x = 1", "x", "assert back == 2"),
    "the submission is refused": ("log = open('/dev/null')", "log"),
    "the session crashes": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "1"),
    "the job crashes": ("import os, signal", "os.kill(os.getpid(), signal.SIGKILL)"),
    "the job hangs": ("import threading", "threading.Event().wait()"),
    "the last one": ("x = [1]", "x + [2]", "assert back == [1, 2] and x == [1]"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return play(STORIES, tmp_path_factory.mktemp("stories"), job_seconds=10)


@pytest.mark.parametrize(
    ("story", "words"),
    [
        ("the set-up fails", "the set-up failed: ZeroDivisionError('division by zero')"),
        ("the check fails", "AssertionError: x is one"),
        ("the session's check fails", "AssertionError"),
        ("the submission is refused", "not submitted: job story-4 not submitted: log: cannot pickle 'TextIOWrapper'"),
        ("the session crashes", "the session ended by signal 9"),
        ("the job crashes", "killed by signal 9"),
        ("the job hangs", "job story-7 has not ended after 10 s"),
    ],
)
def test_what_goes_wrong_is_told(answers, story, words):
    assert words in answers[story].failure


@pytest.mark.parametrize("story", ["all is well", "the last one"])
def test_the_others_are_told_to_their_end(answers, story):
    assert answers[story].failure == ""
    assert "story-" in answers[story].printed
