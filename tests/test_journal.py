"""The journal of a chunk: what was written whole is read, what was cut off or altered costs that line only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persist_magic.errors import Damaged
from persist_magic.journal import Journal, Reader, framed, unframed
from persist_magic.store import JobDirectory


def reader(path: Path) -> Reader:
    return Reader(JobDirectory(str(path.parent), "job"), str(path))


def read(known: Reader) -> list[tuple[str, int, bytes]]:
    return [(word, number, content) for word, number, _, content in known.news()]


@given(st.sampled_from(["began", "done"]), st.integers(0, 10**6), st.binary().map(lambda data: data.replace(b"\n", b"")))
def test_a_line_comes_back(word: str, number: int, content: bytes) -> None:
    line = framed(word, number, content)[:-1]
    found = unframed(line)
    assert found is not None
    assert (*found[:2], line[found[2] :]) == (word, number, content)


@given(st.binary(max_size=60), st.data())
def test_an_altered_line_is_none(content: bytes, data: st.DataObject) -> None:
    line = bytearray(framed("done", 7, content.replace(b"\n", b""))[:-1])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    found = unframed(bytes(line))
    # a hexadecimal digit may be written large
    assert found is None or bytes(line).lower() == framed("done", 7, content.replace(b"\n", b""))[:-1].lower()


@given(st.binary())
def test_no_line_breaks_the_reader(line: bytes) -> None:
    unframed(line)


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    known, journal = reader(tmp_path / "journal"), Journal(str(tmp_path / "journal"))
    assert read(known) == []
    journal.append("began", 3, b"{}")
    assert read(known) == [("began", 3, b"{}")]
    journal.append("done", 3, b'{"a":1}')
    journal.append("began", 4, b"{}")
    assert read(known) == [("done", 3, b'{"a":1}'), ("began", 4, b"{}")]
    assert read(known) == []


def test_a_reader_in_the_middle_of_a_write_sees_the_line_later(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    whole = framed("began", 1, b"{}") + framed("done", 1, b'{"result":7}')
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        known = reader(path)
        first = read(known)
        assert known.torn == 0
        with open(path, "ab") as file:
            file.write(whole[cut:])
        assert [*first, *read(known)] == [("began", 1, b"{}"), ("done", 1, b'{"result":7}')]


def test_a_line_that_a_crash_cut_off_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    last = framed("done", 1, b'{"result":7}')
    for cut in range(1, len(last)):
        path.write_bytes(framed("began", 1, b"{}") + last[:cut])
        journal = Journal(str(path))
        journal.append("began", 1, b"[2]")
        journal.close()
        known = reader(path)
        # cut before its line break only, it is whole
        assert read(known) == [
            ("began", 1, b"{}"),
            *([("done", 1, b'{"result":7}')] if cut == len(last) - 1 else []),
            ("began", 1, b"[2]"),
        ]
        assert known.torn == (cut < len(last) - 1)


def test_a_line_after_another_process_torn_one_counts(tmp_path: Path) -> None:
    first, second = Journal(str(tmp_path / "journal")), Journal(str(tmp_path / "journal"))
    first.append("began", 1, b"{}")
    os.write(first._descriptor, framed("done", 1, b"{}")[:9])  # the disk took no more
    second.append("ended", 0, b"{}")
    first.append("began", 2, b"{}")
    assert read(reader(tmp_path / "journal")) == [("began", 1, b"{}"), ("ended", 0, b"{}"), ("began", 2, b"{}")]


def test_another_file_in_its_place_is_read_from_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(framed("began", 1, b"{}") * 3)
    known = reader(path)
    assert len(read(known)) == 3
    os.unlink(path)
    (tmp_path / "other").write_bytes(framed("done", 1, b"{}"))
    os.rename(tmp_path / "other", path)
    assert read(known) == [("done", 1, b"{}")]


def test_one_at_a_time_may_write(tmp_path: Path) -> None:
    first, second = Journal(str(tmp_path / "journal")), Journal(str(tmp_path / "journal"))
    assert first.lock()
    assert not second.lock()
    first.close()
    assert second.lock()


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    with pytest.raises(Damaged, match="journal of job is damaged: it is no regular file"):
        read(reader(tmp_path / "journal"))
