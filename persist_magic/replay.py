"""How outputs are shown: in Jupyter as real ones, in a terminal or a script as text, in a file as a notebook.

Owns the ways out. Outputs are dicts as nbformat 4 has them, see `outputs.read`. Knows nothing of jobs; IPython is used where
it is.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .capture.environment import in_notebook, ipython_shell
from .text import one_line, without_colours

if TYPE_CHECKING:
    from .outputs import Output


def show(outputs: Iterable[Output]) -> None:
    """Show outputs here, in their order.

    In an IPython shell they become the cell's own: a frontend displays each in the richest form that it has, and the
    notebook keeps them when it is saved. Elsewhere they are printed.
    """
    shell = ipython_shell()
    sys.stdout.flush()  # a kernel has a buffer for each stream, which would lose the order
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            stream = sys.stdout if output["name"] == "stdout" else sys.stderr
            stream.write(output["text"])
            stream.flush()
        elif kind == "error":
            lines = as_wanted(output["traceback"])
            if in_notebook():
                shell._showtraceback(_named(output["ename"]), output["evalue"], lines)
            else:
                print(*lines, sep="\n")
        elif shell is not None:
            shell.display_pub.publish(data=output["data"], metadata=output["metadata"])
        else:
            print(output["data"].get("text/plain", ""))


def _named(name: str) -> type[Exception]:
    """A class of that name, which is all that a kernel tells of an exception."""
    return type(name, (Exception,), {})


def coloured() -> bool:
    """Return whether whoever looks wants colours: an IPython shell that has not switched them off, or a terminal."""
    shell = ipython_shell()
    if shell is not None:
        return str(shell.colors).lower() != "nocolor"
    return sys.stdout.isatty()


def as_wanted(lines: Iterable[str]) -> list[str]:
    """Return lines of text, without their colours if nobody wants any."""
    return list(lines) if coloured() else [without_colours(line) for line in lines]


def plain_text(value: Any) -> str:
    """Return the text of plain data as IPython lays it out."""
    from IPython.lib import pretty

    return str(pretty.pretty(value))  # type: ignore[no-untyped-call]


def header(title: str, facts: dict[str, str]) -> str:
    """Return facts as Markdown, a table below a title."""

    def escaped(text: str) -> str:
        return re.sub(r"([\\`*_{}\[\]<>#|$~!&])", r"\\\1", one_line(text))

    rows = [f"| {escaped(name)} | {escaped(words)} |" for name, words in facts.items()]
    return "\n".join([f"# {escaped(title)}", "", "| | |", "| --- | --- |", *rows])


def notebook(header: str, cell: str, outputs: Iterable[Output], language_version: str) -> str:
    """Return a notebook of one cell, as the JSON of nbformat 4.5.

    Parameters
    ----------
    header : str
        Markdown, above the cell.
    language_version : str
        The Python that ran the cell.
    """
    metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "version": language_version},
    }
    code: dict[str, Any] = {
        "cell_type": "code",
        "id": "cell",
        "metadata": {},
        "source": cell,
        "execution_count": None,
        "outputs": list(outputs),
    }
    cells = [{"cell_type": "markdown", "id": "header", "metadata": {}, "source": header}, code]
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"
