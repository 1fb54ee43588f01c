"""An IPython shell in the tests' own process.

Owns how cells are run in it and what they print is read.
"""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from persist_magic.errors import PersistError


class Shell:
    """An IPython shell; `run` gives a cell's value, `said` what it printed since the last look."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        self.ip: Any = InteractiveShell.instance(config=config, colors="nocolor")
        self.ip.run_line_magic("load_ext", "persist_magic")
        self._capture = capture

    def run(self, cell: str) -> Any:
        result = self.ip.run_cell(cell, store_history=True)
        result.raise_error()
        return result.result

    def said(self) -> str:
        return self._capture.readouterr().out

    def refused(self, cell: str) -> str:
        """Run a cell that raises one of our errors; return what IPython shows of it."""
        self.said()
        error = self.ip.run_cell(cell).error_in_exec
        assert isinstance(error, PersistError), error
        return self.said()
