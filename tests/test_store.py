"""The job directory: names, atomic writes, damaged files, foreign directories."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persist_magic.errors import (
    Damaged,
    InvalidName,
    JobExists,
    NoSuchJob,
    PersistError,
    StoreError,
    UnsafePath,
    VersionSkew,
)
from persist_magic.processes import ProcessId
from persist_magic.store import Ended, Handle, JobDirectory, JobSpec, Root, Started, check_name, write_atomic

from .conftest import Session, await_supervisor

ENDED = Ended(12.5, "done", "", 0, None, 0.25, 4096, "")


@pytest.mark.parametrize("name", ["a", "calcpi", "A-1_b.c", "9", "_x", "x" * 100])
def test_good_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "-x", "a/b", "../a", "a b", "a\n", "a\x00", "ä", "а", "x" * 101, "a;b", "$(a)", "a'", "~"],
)
def test_bad_names(name: str) -> None:
    with pytest.raises(InvalidName, match="letters, digits"):
        check_name(name)


@given(st.text(max_size=120))
def test_a_name_never_leaves_the_root(name: str) -> None:
    root = Root("/nowhere/root")
    try:
        path = root.directory(name).path
    except InvalidName:
        return
    assert os.path.dirname(os.path.normpath(path)) == root.path


def test_a_record_comes_back_as_it_was() -> None:
    process = ProcessId("h", "b", "n", 3, "77")
    for record in (ENDED, Handle("local", 2, 1.0, "pid 3", process), Started(1.0, process, None)):
        assert type(record).from_bytes(record.to_bytes(), "job", "file") == record


@given(st.integers(0), st.integers(1, 255))
def test_a_record_of_which_one_byte_is_another_is_told(place: int, change: int) -> None:
    data = bytearray(ENDED.to_bytes())
    data[place % len(data)] ^= change
    with contextlib.suppress(Damaged):
        # only if the field of the checksum has another name now
        assert Ended.from_bytes(bytes(data), "calc", "ended.json") == ENDED


def test_a_newer_minor_may_add_fields() -> None:
    values = {**json.loads(ENDED.to_bytes()), "added_later": 1}
    assert Ended.from_bytes(json.dumps(values).encode(), "job", "ended.json") == ENDED


def test_a_newer_format_is_refused_with_words() -> None:
    values = {**json.loads(ENDED.to_bytes()), "format": 99}
    with pytest.raises(VersionSkew, match=r"format 99.*update persist_magic"):
        Ended.from_bytes(json.dumps(values).encode(), "job", "ended.json")


@given(st.binary(max_size=200))
def test_any_bytes_give_a_record_or_our_error(data: bytes) -> None:
    with pytest.raises(PersistError):
        JobSpec.from_bytes(data, "job", "job.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(json.loads(ENDED.to_bytes()))), json_values)
def test_a_field_of_another_type_is_told_by_its_name(field: str, value: object) -> None:
    try:
        Ended.from_bytes(json.dumps({**json.loads(ENDED.to_bytes()), field: value}).encode(), "job", "ended.json")
    except Damaged as error:
        assert field in str(error) or field == "format"
    except VersionSkew:
        assert field == "format"


def test_of_several_exclusive_writers_one_wins(tmp_path: Path) -> None:
    path = str(tmp_path / "started.json")
    write_atomic(path, b"first", exclusive=True)
    with pytest.raises(FileExistsError):
        write_atomic(path, b"second", exclusive=True)
    assert Path(path).read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["started.json"]


def test_of_two_reruns_at_once_one_wins(session: Session) -> None:
    job = session.persist("twice", "1")
    job.wait()
    won = job.directory.create_run(2, None)
    with pytest.raises(FileExistsError):
        job.directory.create_run(2, None)
    assert job.directory.runs() == [1, 2]
    assert not [entry for entry in os.listdir(job.path) if entry.endswith(".tmp")]
    job.directory.delete_run(won)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _sparse(path: Path) -> None:
    os.truncate(path, 10 << 30)


@pytest.mark.parametrize("harm", [_truncate, _empty, _link, _fifo, _directory, _sparse], ids=lambda f: f.__name__.strip("_"))
@pytest.mark.parametrize("file", ["job.json", "run-1/ended.json"])
def test_a_damaged_job_is_told_and_the_others_are_unharmed(
    session: Session, harm: Callable[[Path], None], file: str
) -> None:
    from persist_magic.monitor import rows

    bad, good = session.persist("bad", "1"), session.persist("good", "2")
    assert (bad.fetch(), good.fetch()) == (1, 2)
    harm(bad.path / file)
    with pytest.raises(Damaged, match=f"^{os.path.relpath(file)} of bad is damaged"):
        session.job("bad").fetch()
    states = {row.name: row.state for row in rows([session.job("bad"), session.job("good")])}
    assert states == {"bad": "damaged", "good": "done"}


@pytest.mark.parametrize("harm", [_truncate, _empty, _link, _fifo, _directory], ids=lambda f: f.__name__.strip("_"))
def test_a_damaged_result_is_told_never_an_unpickling_error(session: Session, harm: Callable[[Path], None]) -> None:
    job = session.persist("calc", "list(range(10_000))")
    job.wait()
    harm(job.path / "run-1" / "values.pkl")
    with pytest.raises(Damaged, match=r"^result of calc is damaged|values.pkl of calc is damaged"):
        job.fetch()


def test_an_altered_result_is_told(session: Session) -> None:
    job = session.persist("calc", "'the answer'")
    job.wait()
    path = job.path / "run-1" / "values.pkl"
    path.write_bytes(path.read_bytes().replace(b"answer", b"ANSWER"))
    with pytest.raises(Damaged, match=r"result of calc is damaged: values\.pkl was altered"):
        job.fetch()


def test_foreign_directories_are_left_alone(session: Session) -> None:
    session.persist("mine", "1").wait()
    foreign = Path(session.root) / "theirs"
    foreign.mkdir()
    (foreign / "precious.txt").write_text("x")
    from persist_magic.submission import jobs

    assert [job.name for job in jobs(session.root)] == ["mine"]
    for replace in (False, True):
        with pytest.raises(JobExists, match="not a job of persist_magic"):
            session.persist("theirs", "1", replace=replace)
    assert (foreign / "precious.txt").read_text() == "x"
    assert not [entry for entry in os.listdir(session.root) if entry.startswith(".new")]


def test_everything_is_private_whatever_the_umask(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0)
    (tmp_path / "ours").mkdir(mode=0o777)
    (tmp_path / "ours" / "__init__.py").write_text("two = 2")
    monkeypatch.syspath_prepend(tmp_path)
    session.run("import ours")
    try:
        assert session.persist("private", "print(1)\nx = ours.two\nx", snapshot=True).fetch(60) == 2
    finally:
        os.umask(before)
    await_supervisor(session.job("private"))
    for path in [Path(session.root), *Path(session.root).rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


def test_a_root_that_others_may_write_is_refused_with_advice(session: Session) -> None:
    os.makedirs(session.root, mode=0o700)
    os.chmod(session.root, 0o777)
    with pytest.raises(UnsafePath, match="others may write it; chmod go-w"):
        session.persist("calc", "1")
    assert os.listdir(session.root) == []


def test_a_root_of_another_user_is_refused(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    os.makedirs(session.root, mode=0o700)
    owner = os.stat(session.root).st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(UnsafePath, match=f"it belongs to user {owner}; choose another"):
        session.persist("calc", "1")


def test_nothing_is_unpickled_that_others_could_have_written(session: Session) -> None:
    job = session.persist("calc", "1")
    job.wait()
    os.chmod(job.path / "run-1" / "values.pkl", 0o666)
    with pytest.raises(UnsafePath, match="others may write it; nothing of it is unpickled or run"):
        job.fetch()
    os.chmod(job.path / "run-1" / "values.pkl", 0o600)
    os.chmod(job.path, 0o770)
    with pytest.raises(UnsafePath, match="others may write it"):
        job.fetch()


def test_a_root_that_is_a_file_is_told(session: Session) -> None:
    Path(session.root).parent.mkdir(parents=True)
    Path(session.root).write_text("")
    with pytest.raises(StoreError, match="it is not a directory"):
        session.persist("calc", "1")


def test_what_a_crash_left_is_tidied_after_a_day(session: Session) -> None:
    session.persist("kept", "1").wait()
    root = Root(session.root)
    half = Path(session.root) / ".new-abc"
    half.mkdir()
    assert root.names() == ["kept"]
    assert half.exists()
    root.tidy(stale_seconds=0.0)
    assert not half.exists()


def test_a_job_that_was_being_replaced_when_the_session_died_is_there(session: Session) -> None:
    session.persist("kept", "1").wait()
    os.rename(Path(session.root) / "kept", Path(session.root) / ".old-0123-kept")
    assert session.job("kept").fetch() == 1


def test_what_a_job_has_replaced_does_not_come_back_when_that_is_deleted(session: Session) -> None:
    session.persist("calc", "'older'").wait()
    there, aside = Path(session.root) / "calc", Path(session.root) / ".old-0123-calc"
    os.rename(there, aside.with_name("kept"))
    newer = session.persist("calc", "'newer'")
    newer.wait()
    os.rename(aside.with_name("kept"), aside)  # the session that replaced it has not come to discarding it
    assert session.job("calc").fetch() == "newer"
    newer.cleanup()
    with pytest.raises(NoSuchJob):
        session.job("calc")
    assert not aside.exists()


def test_nothing_is_put_back_while_somebody_replaces_it(session: Session) -> None:
    session.persist("kept", "1").wait()
    with Root(session.root).lock():
        os.rename(Path(session.root) / "kept", Path(session.root) / ".old-0123-kept")
        with pytest.raises(NoSuchJob):
            session.job("kept")
    assert session.job("kept").fetch() == 1


def test_job_directory_of_a_missing_root_is_no_error(tmp_path: Path) -> None:
    assert Root(str(tmp_path / "none")).names() == []
    with pytest.raises(Damaged):
        JobDirectory(str(tmp_path / "none"), "x").spec()
