"""What the tests of faults share: the laboratory, and the counts that are printed at the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from .laboratory import Laboratory, laboratory


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A laboratory with the states that the stories begin with."""
    with laboratory(tmp_path_factory.mktemp("laboratory")) as place:
        place.call("bystander").value()
        place.keep("bystander")
        place.call("submit_small").value()
        place.call("await_end").value()
        place.keep("done")
        yield place


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Callable[[str, int], None]:
    """Tell how many cases of a kind a test has gone through; the sums are printed at the end of the run."""
    return lambda what, number: record_property("counted", (what, number))
