"""What the manual pages and the README tell to type: each line of it is one that the magics and the shell take.

So that no page tells of words that are gone, and none of the settings is untold."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest

from persist_magic import commands
from persist_magic.backends import get_backend
from persist_magic.each import split_line
from persist_magic.magics import PersistMagics, _fetch_parser, _persist_parser

README = (Path(__file__).parents[1] / "README.md").read_text()
MAGICS = sorted(name for name in vars(PersistMagics) if re.fullmatch(r"persist(_[a-z]+)?", name))
PAGES = {name: inspect.cleandoc(getattr(PersistMagics, name).__doc__) for name in MAGICS}

# A magic or a command of the shell, up to a comment, or to two spaces with what it does behind them.
LINE = re.compile(r"^(?:\w+ = )?(%%?persist\w*|persist-magic)((?: [^ \n#`][^ \n`]*)*)", re.MULTILINE)
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples(text: str) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in LINE.finditer(text)]


def told() -> list[tuple[str, str]]:
    """All examples: the indented lines of the pages, the README's blocks, and what it names within its text."""
    found = [each for page in PAGES.values() for each in examples(re.sub(r"(?m)^    ", "", page.split("usage: ")[0]))]
    found += [each for block in BLOCK.findall(README) for each in examples(block)]
    found += [each for code in re.findall(r"`([^`\n]+)`", BLOCK.sub("", README)) for each in examples(code)]
    return list(dict.fromkeys(found))


def parse(program: str, rest: str) -> None:
    """Let the parser of the program take the words, as the program does; raises if it does not."""
    rest, _ = split_line(rest) if program == "%%persist" else (rest, None)
    words, options = commands.split_options(shlex.split(rest))
    takes_options = True
    if program == "%%persist":
        _persist_parser().parse_args(words)
    elif program == "%persist":
        assert len(words) == 1
    elif program == "%persist_fetch":
        takes_options = False
        _fetch_parser().parse_args(words)
    else:
        if program == "persist-magic":
            words = words[2:] if words[0] == "--root" else words
            words = words[1:] if words[0] == "--trust" else words
            verb = words.pop(0)
        else:
            verb = program.removeprefix("%persist_")
        takes_options = commands.VERBS[verb].takes_options
        commands.verb_parser(verb, program).parse_args(words)
    assert takes_options or options is None


def names_only(rest: str) -> bool:
    """Whether it is a name within the text and no example: `%persist_fetch`, `%%persist`, `persist-magic --help`."""
    return rest in ("", " --slurm", " --help") or " | " in rest


def typed(rest: str) -> str:
    """What stands for more, as in "NAME… [--timeout S] [-- BACKEND OPTIONS]", as somebody would type it."""
    plain = re.sub(r" \[([^\]]*)\]", r" \1", rest.replace("NAME [options]", "NAME").replace("NAME…", "NAME NAME"))
    return re.sub(r"(--timeout|--tail) [SN]\b", r"\1 5", plain.replace("VAR…", "VAR VAR"))


@pytest.mark.parametrize(("program", "rest"), [each for each in told() if not names_only(each[1])])
def test_what_is_told_to_type_is_taken(program: str, rest: str) -> None:
    parse(program, typed(rest))


def test_the_options_that_the_readme_explains_are_those_that_there_are() -> None:
    explained = README[README.index("Options of `%%persist`:") : README.index("`%persist?` is the manual page")]
    there = set(re.findall(r"--[a-z-]+", _persist_parser().format_help()))
    assert set(re.findall(r"--[a-z-]+", explained)) == there - {"--mpi-options"}  # which the section of MPI explains


def test_there_are_examples_of_every_verb_and_they_are_found() -> None:
    found = {program for program, rest in told() if not names_only(rest)}
    assert {*(f"%{name}" for name in MAGICS), "%%persist", "persist-magic"} <= found


def test_the_readme_tells_of_all_settings_and_of_no_others() -> None:
    settings = {
        f"{owner.__name__}.{trait}"
        for owner in (PersistMagics, type(get_backend("local")), type(get_backend("slurm")))
        for trait in owner.class_own_traits(config=True)
    }
    assert set(re.findall(r"\b(?:PersistMagics|\w+Backend)\.\w+", README)) == settings


@pytest.mark.parametrize("name", MAGICS)
def test_each_page_has_an_example_and_the_words_that_are_taken(name: str) -> None:
    text, usage, words = PAGES[name].partition("\n\nusage: ")
    assert usage
    assert f"    %{name}" in text or f"    %%{name}" in text
    assert text[0].isupper()
    assert text.splitlines()[0].endswith(".")
    assert "positional arguments" in words or "options" in words
