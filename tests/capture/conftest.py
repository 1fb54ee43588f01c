"""A session to define things in, and jobs of it that have ended."""

import sys
import textwrap

import pytest

from persist_magic.status import JobState

from ..conftest import wait_until

QUEUED = ["--slots", "1"]


@pytest.fixture
def session(session):
    """``session(code)`` runs an earlier cell and returns the session's globals."""

    def execute(code=""):
        exec(compile(textwrap.dedent(code), "<an earlier cell>", "exec", dont_inherit=True), session.namespace)
        return session.namespace

    execute.persist, execute.submit = session.persist, session.submit
    return execute


@pytest.fixture
def run(session):
    """Submit a cell of the session and wait for the job's end."""

    def submit_and_wait(cell):
        job = session.persist("job", textwrap.dedent(cell).strip("\n"))
        job.wait(timeout=60)
        return job

    return submit_and_wait


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The directory in which the session stands, for modules of its own; those that a test imports are forgotten afterwards."""
    place = tmp_path / "my 'project'"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    known = set(sys.modules)
    yield place
    # a namespace package can tell its folders only while its parent is there
    folders = {name: vars(sys.modules[name]).get("__path__", ()) for name in set(sys.modules) - known}
    places = {name: [getattr(sys.modules[name], "__file__", None) or "", *paths] for name, paths in folders.items()}
    for name, found in places.items():
        if any(str(tmp_path) in each for each in found):
            del sys.modules[name]


@pytest.fixture
def gate(session, tmp_path):
    """A job that holds the only slot until ``gate()`` is called: what is submitted with `QUEUED` meanwhile waits behind it."""
    marker = tmp_path / "the gate is open"
    job = session.persist(
        "gate", f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)", options=QUEUED
    )
    wait_until(lambda: job.status().state is JobState.RUNNING, "the gate")
    return marker.touch
