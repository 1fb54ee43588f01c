"""A session to define things in, and jobs of it that have ended."""

import textwrap

import pytest


@pytest.fixture
def session(session):
    """``session(code)`` runs an earlier cell and returns the session's globals."""

    def execute(code=""):
        exec(compile(textwrap.dedent(code), "<an earlier cell>", "exec", dont_inherit=True), session.namespace)
        return session.namespace

    execute.persist = session.persist
    return execute


@pytest.fixture
def run(session):
    """Submit a cell of the session and wait for the job's end."""

    def submit_and_wait(cell):
        job = session.persist("job", textwrap.dedent(cell).strip("\n"))
        job.wait(timeout=60)
        return job

    return submit_and_wait
