"""A file that was cut off, altered, emptied or lost is told as damaged, before anything in it is unpickled."""

import os
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persist_magic import digests, load, persist
from persist_magic.capture.cell import Source
from persist_magic.errors import Damaged, JobFailed
from persist_magic.submission import submit

HEAD = digests.HEAD

SETUP = """
import numpy as np
text = "a" * 1000
numbers = [str(number) for number in range(400_000)]  # a stream of more than digests.HEAD
big, other = np.arange(300_000.0), np.ones(20_000)
"""
CELL = """
first = text + "b"
words = [number + "!" for number in numbers]
large = big + 1
little = other + 1
(len(text), len(numbers), big.sum(), other.sum())
"""
RESULT = (1000, 400_000, 44_999_850_000.0, 20_000.0)
VALUES = ("first", "words", "large", "little")


def cut(count):
    return lambda data: data[:-count]


def altered(place):
    """One bit of the byte at a place, which is given as a part of the whole or from an end."""

    def alter(data):
        index = int(place * len(data)) if isinstance(place, float) else place % len(data)
        return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]

    return alter


DAMAGES = {
    "the last byte cut off": cut(1),
    "half cut off": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "missing": None,
    "its first byte altered": altered(0),
    "a byte near the end of the head altered": altered(HEAD - 1),
    "the first byte after that altered": altered(HEAD),
    "a byte in the middle altered": altered(0.5),
    "its last byte altered": altered(-1),
}


def damage(path, how):
    if how is None:
        path.unlink()
        return
    data = how(path.read_bytes())
    assert data != path.read_bytes()
    path.write_bytes(data)


def run_job(root):
    namespace = {"__name__": "session"}
    exec(SETUP, namespace)
    job = submit("job", Source("cell", CELL, CELL), namespace, root=root).job
    assert job.fetch(60) == RESULT
    return job


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A job that has run, for copies."""
    job = run_job(tmp_path_factory.mktemp("finished") / ".persist")
    assert sorted(job.variables) == sorted(VALUES)
    return job


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """A job that has run, to be run again."""
    job = run_job(tmp_path_factory.mktemp("again") / ".persist")
    assert all((job.path / name).stat().st_size > 2 * HEAD for name in ("session.pkl", "session.buffers"))
    return job


@pytest.fixture
def copy(finished, root):
    """A copy of it under another root, to be read."""
    shutil.copytree(finished.path, Path(root, "job"))
    return load("job", root)


def told(error):
    """The words of an error, of which nothing is an unpickling error's."""
    words = str(error)
    assert not any(word in words for word in ("pickle", "Unpickling", "EOF", "truncated", "Traceback"))
    return words


# ---------------------------------------------------------------- what was captured


@pytest.mark.parametrize("file", ["session.pkl", "session.buffers"])
@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_a_run_from_damaged_data_fails_with_that_reason(again, file, how):
    path = again.path / file
    info, data = path.stat(), path.read_bytes()
    try:
        damage(path, how)
        with pytest.raises(JobFailed) as failure:
            again.rerun().fetch(60)
    finally:
        path.write_bytes(data)
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
        path.chmod(info.st_mode)
    what, why = (
        ("captured data", f"{file} {'was altered since it was written' if len(how(data)) == len(data) else ''}")
        if how
        else (file, "it is missing")
    )
    assert told(failure.value.reason).startswith(f"{what} of job is damaged: {why.strip()}")
    assert again.status().reason == failure.value.reason
    if how is not None and len(how(data)) < len(data):
        assert f"{file} has {len(how(data))} bytes of {len(data)}" in failure.value.reason
    assert "Traceback" not in again.stderr()


def test_the_same_data_mended_runs_again(again):
    assert again.rerun().fetch(60) == RESULT


# ---------------------------------------------------------------- what came back


def read_all(job):
    """What can be read of a job, by its names, and the words for what cannot."""
    found, problems = {}, {}
    for name in ("result", *VALUES):
        try:
            found[name] = job.fetch(60) if name == "result" else job.variables[name]
        except Damaged as error:
            problems[name] = told(error)
    return found, problems


def check(found):
    expected = {
        "result": RESULT,
        "first": "a" * 1000 + "b",
        "words": [f"{number}!" for number in range(400_000)],
        "large": np.arange(300_000.0) + 1,
        "little": np.full(20_000, 2.0),
    }
    for name, value in found.items():
        assert np.array_equal(value, expected[name]) if isinstance(value, np.ndarray) else value == expected[name], name


def part_of(job, name):
    """Where a value stands in its file, and where its buffer in the other."""
    outcome = job.outcome()
    payload = (outcome.result if name == "result" else outcome.variables[name]).payload
    return payload.offset, payload.size, [(offset, length) for offset, length, _ in payload.buffers]


@pytest.mark.parametrize("name", ["result", *VALUES])
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_an_altered_value_is_told_and_the_others_are_read(copy, name, where):
    offset, size, _ = part_of(copy, name)
    damage(copy.path / "run-1" / "values.pkl", altered(offset + int(where * (size - 1))))
    found, problems = read_all(copy)
    assert problems == {name: f"{name} of job is damaged: values.pkl was altered since it was written"}
    check(found)


@pytest.mark.parametrize("name", ["large", "little"])
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_an_altered_buffer_is_told_and_the_others_are_read(copy, name, where):
    _, _, ((offset, length),) = part_of(copy, name)
    damage(copy.path / "run-1" / "values.buffers", altered(offset + int(where * (length - 1))))
    found, problems = read_all(copy)
    assert problems == {name: f"{name} of job is damaged: values.buffers was altered since it was written"}
    check(found)


def test_what_lies_between_buffers_is_nobodys(copy):
    _, _, ((offset, length),) = part_of(copy, "large")
    path = copy.path / "run-1" / "values.buffers"
    assert path.stat().st_size > offset + length, "another buffer follows, on the next page"
    damage(path, altered(offset + length))
    found, problems = read_all(copy)
    assert problems == {}
    check(found)


CUT = {
    "the last byte cut off": cut(1),
    "half cut off": DAMAGES["half cut off"],
    "emptied": DAMAGES["emptied"],
}


@pytest.mark.parametrize("file", ["values.pkl", "values.buffers"])
@pytest.mark.parametrize("how", CUT.values(), ids=CUT)
def test_of_a_file_that_was_cut_off_what_is_there_is_read(copy, file, how):
    path = copy.path / "run-1" / file
    damage(path, how)
    size = path.stat().st_size
    ends = {}
    for name in ("result", *VALUES):
        offset, length, buffers = part_of(copy, name)
        ends[name] = (
            offset + length if file == "values.pkl" else max((start + length for start, length in buffers), default=0)
        )
    found, problems = read_all(copy)
    assert problems == {
        name: f"{name} of job is damaged: {file} has {size} bytes of {end}" for name, end in ends.items() if end > size
    }
    assert problems
    check(found)


@pytest.mark.parametrize(("file", "lost"), [("values.pkl", ["result", *VALUES]), ("values.buffers", ["large", "little"])])
def test_a_missing_file_of_values_is_told(copy, file, lost):
    (copy.path / "run-1" / file).unlink()
    found, problems = read_all(copy)
    assert problems == dict.fromkeys(lost, f"run-1/{file} of job is damaged: it is missing")
    check(found)


# ---------------------------------------------------------------- copies


def copied_anew(source, root):
    """A copy whose files have other times than their origins."""
    target = Path(root, "job")
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for path in (*target.parent.rglob("*"), target.parent):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (10**9, 10**9))
    return load("job", root)


def test_a_copy_whose_files_have_new_times_is_read(finished, root):
    found, problems = read_all(copied_anew(finished.path, root))
    assert problems == {}
    check(found)


@pytest.mark.parametrize("name", ["large", "little"])
def test_in_such_a_copy_an_altered_buffer_is_told_too(finished, root, name):
    copy = copied_anew(finished.path, root)
    _, _, ((offset, length),) = part_of(copy, name)
    path = copy.path / "run-1" / "values.buffers"
    damage(path, altered(offset + length // 2))
    os.utime(path, (10**9, 10**9))
    found, problems = read_all(copy)
    assert list(problems) == [name]
    check(found)


def test_buffers_with_their_time_are_not_read_before_they_are_needed(copy):
    """The time is the seal: this is what makes a fetch of gigabytes instant."""
    path = copy.path / "run-1" / "values.buffers"
    sealed = path.stat().st_mtime_ns
    damage(path, altered(0))
    os.utime(path, ns=(sealed, sealed))
    _, problems = read_all(copy)
    assert problems == {}


def test_a_functions_argument_and_result_are_checked_too(root):
    job = persist(len, "small", args=("x" * 100,), root=root)
    assert job.fetch(60) == 100
    for name, value in (("run-1/values.pkl", "result of small"), ("session.pkl", "captured data of small")):
        damage(job.path / name, altered(-1))
        with pytest.raises((Damaged, JobFailed)) as error:
            job.fetch(60) if "values" in name else job.rerun().fetch(60)
        assert f"{value} is damaged: {Path(name).name} was altered since it was written" in told(error.value)


# ---------------------------------------------------------------- the checksum


def checksum_of(parts):
    checksum = digests.Checksum()
    for part in parts:
        checksum.update(memoryview(part))
    return checksum.value()


def parts_of(data, cuts):
    places = sorted(place % (len(data) + 1) for place in cuts)
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 10**6), max_size=6), head=st.integers(1, 128))
def test_a_checksum_does_not_depend_on_how_the_data_comes(data, cuts, head):
    with mock.patch.object(digests, "HEAD", head):
        assert checksum_of(parts_of(data, cuts)) == digests.checksum(memoryview(data)) == checksum_of([data])


@settings(max_examples=30)
@given(tail=st.binary(max_size=300), cuts=st.lists(st.integers(0, 10**9), max_size=4))
def test_nor_at_the_size_where_its_second_half_begins(tail, cuts):
    data = bytes(digests.HEAD - 150) + tail
    assert checksum_of(parts_of(data, cuts)) == digests.checksum(memoryview(data))


@given(
    data=st.binary(min_size=1, max_size=200),
    place=st.integers(0, 10**6),
    bits=st.integers(1, 255),
    head=st.integers(1, 128),
)
def test_any_one_changed_byte_changes_it(data, place, bits, head):
    place %= len(data)
    other = data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :]
    with mock.patch.object(digests, "HEAD", head):
        assert digests.checksum(memoryview(data)) != digests.checksum(memoryview(other))


@pytest.mark.parametrize("size", [1, HEAD - 1, HEAD, HEAD + 1, 3 * HEAD + 5])
def test_nor_is_it_the_same_for_less_or_more(size):
    data = bytes(size + 1)
    seen = {digests.checksum(memoryview(data)[:length]) for length in (size - 1, size, size + 1)}
    assert len(seen) == 3


def test_the_standard_library_is_enough_for_a_small_one():
    assert len(digests.checksum(memoryview(bytes(HEAD)))) == 8
    assert len(digests.checksum(memoryview(bytes(HEAD + 1)))) == 40
