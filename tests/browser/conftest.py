"""One Chromium and one Jupyter server for all tests of a process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from ..conftest import Session
from .chromium import chromium
from .jupyter import Notebook, Server, server

LOAD = "%load_ext persist_magic"
QUICK = "from persist_magic.views import dashboard\ndashboard.BEAT_SECONDS = 1.5"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("jupyter")) as started:
        yield started


@pytest.fixture
def notebook(
    browser: Browser, jupyter: Server, session: Session, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    """Opens a notebook whose kernel has the test's root; a quick one's page notices soon that its kernel is silent."""
    opened: list[Notebook] = []

    def make(*cells: str, family: str = "lab", quick: bool = False) -> Notebook:
        name = f"{re.sub(r'[^a-z0-9]+', '-', request.node.name)}.ipynb"
        load = f"import os\nos.environ['PERSIST_ROOT'] = {session.root!r}\n{LOAD}\n{QUICK if quick else ''}"
        jupyter.write(name, [load, *cells])
        opened.append(Notebook(browser, jupyter, name, family))
        opened[-1].run(0)
        return opened[-1]

    yield make
    for each in opened:
        assert each.errors == []
        assert [url for url in each.asked_for if not url.startswith((jupyter.address, "data:", "blob:"))] == []
        each.shut_down()
