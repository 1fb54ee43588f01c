from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Callable[[str, int], None]:
    """Tell how many cases of a kind a test has gone through; the sums are printed at the end of the run."""
    return lambda what, number: record_property("counted", (what, number))
