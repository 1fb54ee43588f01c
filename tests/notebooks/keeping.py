"""What of a notebook's outputs is written down. Owns their tidying, their kinds, and the search for what names this machine.

Pure functions of notebooks, but for `write`.
"""

from __future__ import annotations

import getpass
import re
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat

from persist_magic.text import settle, without_colours

WIDGET = "application/vnd.jupyter.widget-view+json"
"""Without the widget's state, which is not kept, JupyterLab shows an error in its place; the table beside it does without."""
READERS = "~/tutorials"
"""What outputs call the directory in which they were made."""
_ABSOLUTE_PATH = re.compile(r"(?<![\w<.~:/])/(?:home|root|tmp|usr|opt|var|mnt|srv|work|Users|private)/[\w.+-]+")


def tidied(outputs: Sequence[Any]) -> list[Any]:
    """Return a cell's outputs with adjacent pieces of a stream as one, what `\\r` wrote over gone, and no widgets."""
    kept: list[Any] = []
    for output in outputs:
        last = kept[-1] if kept else None
        if output.output_type == "stream":
            if last is not None and last.output_type == "stream" and last.name == output.name:
                last.text += output.text
                continue
        elif "data" in output:
            output.data.pop(WIDGET, None)
        kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            output.text = settle(output.text)
    return kept


def elsewhere(outputs: Any, directory: str) -> Any:
    """Return outputs in which the directory that they were made in has the name of a reader's."""
    if isinstance(outputs, str):
        return outputs.replace(directory, READERS)
    if isinstance(outputs, list):
        return [elsewhere(each, directory) for each in outputs]
    if isinstance(outputs, dict):
        return nbformat.from_dict({key: elsewhere(value, directory) for key, value in outputs.items()})
    return outputs


def kinds(outputs: Sequence[Any]) -> list[str]:
    """Return what kinds of outputs a cell has, in their order: streams by name, errors by class, data by MIME types."""
    found = []
    for output in outputs:
        if output.output_type == "stream":
            found.append(output.name)
        elif output.output_type == "error":
            found.append(output.ename)
        else:
            found.append(f"{output.output_type} {' '.join(sorted(output.data))}")
    return found


def texts(outputs: Sequence[Any]) -> Iterator[str]:
    """Every text among outputs, without colours."""
    for output in outputs:
        found = [output.get("text", ""), *output.get("traceback", []), output.get("evalue", "")]
        found += [value for mime, value in output.get("data", {}).items() if mime.startswith("text/")]
        for text in filter(None, found):
            yield without_colours(text)


def names_of_this_machine(notebook: nbformat.NotebookNode) -> list[str]:
    """Return where outputs tell of this machine: absolute paths, the host's name, the user's, where Python is."""
    private = {str(Path.home()), tempfile.gettempdir(), sys.prefix, socket.gethostname()}
    private |= {getpass.getuser()} - {"root"}  # a word that also means the folder of jobs, and names nobody
    names = "|".join(re.escape(each) for each in sorted(private, key=len, reverse=True))
    words = re.compile(rf"{_ABSOLUTE_PATH.pattern}|(?<![\w./~])(?:{names})(?!\w)")
    return [
        f"{cell.id}: {found.group()} in {text[max(0, found.start() - 40) : found.end() + 40]!r}"
        for cell in notebook.cells
        if cell.cell_type == "code"
        for text in texts(cell.outputs)
        for found in words.finditer(text)
    ]


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook as nbformat does, keys sorted, so that what did not change makes no difference."""
    nbformat.validate(notebook)
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
