"""What compiled code says about itself: the names it looks up, the modules it imports, the strings in it.

Owns the reading of bytecode. Knows nothing of pickling or sessions.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Iterator

TAKES_CODE = frozenset({"eval", "exec", "query", "evaluate", "format_map", "sql", "ols", "dmatrix", "dmatrices"})
"""Functions and methods that are given Python, or names, in a string."""
IDENTIFIER = re.compile(r"[^\W\d]\w*")

_GLOBAL_NAMES = frozenset(
    {"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"},
)


@functools.lru_cache(maxsize=4096)
def _names(code: types.CodeType) -> tuple[tuple[str, ...], tuple[str, ...], frozenset[str]]:
    """Of code and of the code nested in it: the globals, the imported modules, and the globals that are bound."""
    import dis  # slow to import, and a worker may meet no function

    names: dict[str, None] = {}
    imports: dict[str, None] = {}
    bound: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBAL_NAMES:
            names[instruction.argval] = None
            if instruction.opname == "STORE_GLOBAL":
                bound.add(instruction.argval)
        elif instruction.opname == "IMPORT_NAME":
            imports[instruction.argval] = None
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner_names, inner_imports, inner_bound = _names(constant)
            names.update(dict.fromkeys(inner_names))
            imports.update(dict.fromkeys(inner_imports))
            bound |= inner_bound
    return tuple(names), tuple(imports), frozenset(bound)


def code_globals(code: types.CodeType) -> tuple[str, ...]:
    """Return the names that code, with the code nested in it, looks up or sets as globals."""
    return _names(code)[0]


def code_imports(code: types.CodeType) -> tuple[str, ...]:
    """Return the modules that code, with the code nested in it, imports when it runs."""
    return _names(code)[1]


def code_binds(code: types.CodeType) -> frozenset[str]:
    """Return the names that code, with the code nested in it, binds as globals."""
    return _names(code)[2]


def string_constants(code: types.CodeType) -> Iterator[str]:
    """Yield the strings in code and in the code nested in it."""
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, types.CodeType):
            yield from string_constants(constant)
