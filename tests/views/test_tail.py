"""The end of a log on a page: what a terminal would show, sent in pieces."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from persist_magic.job import Job
from persist_magic.text import harmless, settle, without_colours
from persist_magic.views import tail
from persist_magic.views.tail import Tail

from ..conftest import Session


def ended(session: Session) -> Job:
    job = session.persist("a", "1")
    job.wait(60)
    return job


def after(lines: list[str], tail: Tail) -> list[str]:
    """What a page shows after the next change."""
    change = tail.change()
    return lines if change is None else [*lines[: change["keep"]], *change["text"].split("\n")]


PIECES = st.lists(st.text(alphabet="ab\n\r\b ü\x07") | st.sampled_from(["\x1b[31m", "\x1b[A", "\x1b[K"]), max_size=8)


def test_a_page_shows_what_a_terminal_would(session: Session) -> None:
    job = ended(session)
    path = Path(job.directory.run(1).stdout_path)

    @given(st.lists(PIECES, max_size=5))
    def check(writes: list[list[str]]) -> None:
        path.write_bytes(b"")
        watched, lines, text = Tail(job, err=False), [""], ""
        for write in writes:
            text += "".join(write)
            path.write_text(text, newline="")
            lines = after(lines, watched)
        assert lines == harmless(without_colours(settle(text))).split("\n")

    check()


def test_only_what_is_new_is_sent_and_nothing_if_nothing_is(session: Session) -> None:
    job = ended(session)
    path = Path(job.directory.run(1).stdout_path)
    path.write_bytes(b"one\ntwo")
    watched = Tail(job, err=False)
    assert watched.change() == {"part": 1, "keep": 0, "text": "one\ntwo", "before": 0}
    assert watched.change() is None
    path.write_bytes(b"one\ntwo\r2\nthree \xff")
    assert watched.change() == {"part": 2, "keep": 1, "text": "2wo\nthree \ufffd", "before": 0}
    watched.restart()
    assert watched.change() == {"part": 3, "keep": 0, "text": "one\n2wo\nthree \ufffd", "before": 0}


def test_of_a_large_log_the_end_is_read(session: Session) -> None:
    job = ended(session)
    path = Path(job.directory.run(1).stdout_path)
    with path.open("wb") as file:
        file.truncate(10 << 30)  # sparse: whoever read it all would need minutes
        file.seek(0, 2)
        file.write(b"\nlast\n")
    watched = Tail(job, err=False)
    change = watched.change()
    assert change is not None
    assert change["text"].endswith("\nlast\n") or change["text"] == "last\n"
    assert change["before"] > (10 << 30) - 2 * tail.WINDOW


def test_what_grows_without_end_stays_small(session: Session) -> None:
    job = ended(session)
    path = Path(job.directory.run(1).stdout_path)
    watched, lines, most = Tail(job, err=False), [""], 0
    for part in range(40):
        with path.open("ab") as file:
            file.write(b"".join(b"%d %d\n" % (part, number) for number in range(2000)))
        lines = after(lines, watched)
        most = max(most, sum(map(len, lines)))
    assert lines[-2] == "39 1999"
    assert most <= 2 * tail.WINDOW
    with path.open("ab") as file:
        file.write(b"x" * 1_000_000)
    assert sum(map(len, after(lines, watched))) <= 2 * tail.WINDOW


def test_a_later_run_begins_anew(session: Session) -> None:
    job = ended(session)
    Path(job.directory.run(1).stdout_path).write_bytes(b"old\n")
    watched = Tail(job, err=False)
    watched.change()
    job.rerun().wait(60)
    assert watched.change() == {"part": 2, "keep": 0, "text": "", "before": 0}


def test_another_job_of_that_name_begins_anew(session: Session) -> None:
    watched = Tail(ended(session), err=False)
    Path(session.root, "a", "run-1", "stdout").write_bytes(b"hi\n")
    watched.change()
    session.persist("a", "print('other, and longer')", replace=True).wait(60)
    assert watched.change() == {"part": 2, "keep": 0, "text": "other, and longer\n", "before": 0}


def test_so_does_one_whose_log_has_the_old_ones_inode(session: Session, tmp_path: Path) -> None:
    """File systems give the number of a deleted file to the next one."""
    watched, kept = Tail(ended(session), err=False), tmp_path / "kept"
    log = Path(session.root, "a", "run-1", "stdout")
    log.write_bytes(b"hi\n")
    os.link(log, kept)
    watched.change()
    session.persist("a", "print('other, and longer')", replace=True).wait(60)
    kept.write_bytes(log.read_bytes())
    os.replace(kept, log)
    assert watched.change() == {"part": 2, "keep": 0, "text": "other, and longer\n", "before": 0}
