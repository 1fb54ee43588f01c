"""The modules that a job imports: which are the user's own, where they lie, whether the session has what their files say.

Owns what counts as local (not of the standard library, not installed), the copies that ``--snapshot`` makes, and versions of
packages. A module travels by name, never by its contents. Knows nothing of pickling or jobs.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import shutil
import sys
import types
from collections.abc import Iterable, Iterator

from ..digests import text_digest
from ..store import LocalModule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LARGEST_DATA_FILE = 1 << 20
"""Files of a package that are not code are copied up to this size; bytes."""
_CODE_SUFFIXES = (".py", ".pyi", ".so", ".pyd")
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def versions(modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that modules belong to, of those that tell theirs in ``__version__``."""
    found = {}
    for top in sorted({name.partition(".")[0] for name in modules}):
        if top in sys.stdlib_module_names or top in ("__main__", "persist_magic"):
            continue
        version = getattr(sys.modules.get(top), "__version__", None)
        if isinstance(version, str):
            found[top] = version
    return found


# ---------------------------------------------------------------- which are local


@functools.cache
def _system_folders() -> tuple[str, ...]:
    import sysconfig

    paths = sysconfig.get_paths()
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return tuple({os.path.join(paths[key], "") for key in ("stdlib", "platstdlib", "purelib", "platlib")} | {own + os.sep})


def _is_local_file(path: str) -> bool:
    return not path.startswith(_system_folders()) and _INSTALLED.isdisjoint(path.split(os.sep))


def _file_of(name: str) -> str | None:
    """The file that a module is loaded from, or will be; "" for a namespace package; None if not local or not found."""
    if name.partition(".")[0] in sys.stdlib_module_names or name == "__main__":
        return None
    module = sys.modules.get(name)
    try:
        spec = getattr(module, "__spec__", None) if module is not None else _find_spec(name)
    except (ImportError, AttributeError, ValueError):  # its parent is not what it seems; the cell's own import will tell
        return None
    file = getattr(module, "__file__", None) or getattr(spec, "origin", None)
    if isinstance(file, str) and file not in ("built-in", "frozen", "namespace"):
        path = os.path.abspath(file)
        return path if _is_local_file(path) else None
    folders = list(getattr(spec, "submodule_search_locations", None) or ())
    return "" if folders and all(_is_local_file(os.path.abspath(folder)) for folder in folders) else None


def _find_spec(name: str) -> Any:
    """The spec of a module that is not loaded, without importing its parents."""
    parent = name.rpartition(".")[0]
    return importlib.util.find_spec(name) if not parent or parent in sys.modules else None


def local_modules(names: Iterable[str]) -> list[LocalModule]:
    """Return the local ones among modules, with all local ones that these import in turn.

    Of a module that is loaded what it imports is read off its globals, else off its source.
    """
    found: dict[str, LocalModule] = {}
    seen: set[str] = set()
    waiting = sorted(names, reverse=True)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _file_of(name)
        if path is None:
            continue
        if parent := name.rpartition(".")[0]:
            waiting.append(parent)
        found[name] = LocalModule(name, path, _digest(path), _edited(name, path))
        module = sys.modules.get(name)
        waiting += _used_by(module) if module is not None else _imported_in(path)
    return [found[name] for name in sorted(found)]


def _used_by(module: types.ModuleType) -> Iterator[str]:
    for value in list(vars(module).values()):
        if isinstance(value, types.ModuleType):
            yield value.__name__
        elif isinstance(value, (types.FunctionType, type)) and isinstance(value.__module__, str):
            yield value.__module__


def _imported_in(path: str) -> Iterator[str]:
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _digest(path: str) -> str:
    """A digest of a source file, or "" if it cannot be read."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return _digest_of(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=4096)
def _digest_of(path: str, mtime: int, size: int) -> str:
    try:
        with open(path, "rb") as file:
            return text_digest(file.read().decode("latin-1"))
    except OSError:
        return ""


def roots(modules: Iterable[LocalModule]) -> list[str]:
    """Return the folders in which the top-level ones among modules are found: they belong on the job's sys.path."""
    found: dict[str, None] = {}
    for each in modules:
        for place in _places(each) if "." not in each.name else ():
            found[os.path.dirname(place)] = None
    return list(found)


def _places(module: LocalModule) -> list[str]:
    """The file of a top-level module, or the folders of a package."""
    if module.path and not os.path.basename(module.path).startswith("__init__."):
        return [module.path]
    if module.path:
        return [os.path.dirname(module.path)]
    loaded = sys.modules.get(module.name)
    spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(module.name)
    return [os.path.abspath(folder) for folder in getattr(spec, "submodule_search_locations", None) or ()]


# ---------------------------------------------------------------- edited since they were imported


def _edited(name: str, path: str) -> bool:
    """Whether a loaded module differs from its file, which was written after this process started."""
    module = sys.modules.get(name)
    if module is None or not path.endswith(".py"):
        return False
    try:
        if os.stat(path).st_mtime <= _process_start():
            return False
        with open(path, "rb") as file:
            source = file.read()
        tree = ast.parse(source)
        code = compile(tree, path, "exec", dont_inherit=True)
    except OSError:
        return False  # it was deleted: the job's own error will say so
    except (SyntaxError, ValueError):
        return True
    return _functions_differ(module, path, code) or _constants_differ(module, tree) or _bytecode_is_older(module, path)


@functools.cache
def _process_start() -> float:
    import psutil

    return float(psutil.Process().create_time())


def _functions_differ(module: types.ModuleType, path: str, code: types.CodeType) -> bool:
    written = dict(_codes(code, ""))
    return any(written.get(name) != function.__code__ for name, function in _functions(vars(module), module.__name__, path))


def _codes(code: types.CodeType, prefix: str) -> Iterator[tuple[str, types.CodeType]]:
    """Code objects of functions and of classes' methods, by qualified name."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield prefix + constant.co_name, constant
            yield from _codes(constant, f"{prefix}{constant.co_name}.")


def _functions(members: Any, home: str, path: str) -> Iterator[tuple[str, types.FunctionType]]:
    """The functions among members that were compiled from the module's file, those of classes included."""
    for value in list(members.values()):
        function = getattr(value, "__func__", None) if isinstance(value, (staticmethod, classmethod)) else value
        function = function.fget if isinstance(function, property) else function
        if isinstance(function, types.FunctionType):
            simple = "<" not in function.__qualname__
            if simple and function.__module__ == home and os.path.abspath(function.__code__.co_filename) == path:
                yield function.__qualname__, function
        elif type(value) is type and value.__module__ == home:
            yield from _functions(vars(value), home, path)


def _constants_differ(module: types.ModuleType, tree: ast.Module) -> bool:
    """Whether a top-level ``NAME = literal`` says something else than the module has."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                continue
            name = node.targets[0].id
            if name not in vars(module) or repr(vars(module)[name]) != repr(value):
                return True
    return False


def _bytecode_is_older(module: types.ModuleType, path: str) -> bool:
    """Whether the cached bytecode that the last import left is of an older version of the file."""
    cached = getattr(module, "__cached__", None)
    try:
        with open(cached or "", "rb") as file:
            header = file.read(16)
        source = os.stat(path)
    except OSError:
        return False
    # PEP 552: magic number, flags (0: checked by time), then the source's time and size, 32 bits each
    if len(header) < 16 or int.from_bytes(header[4:8], "little"):
        return False
    stamp = int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little")
    return stamp != (int(source.st_mtime) & 0xFFFFFFFF, source.st_size & 0xFFFFFFFF)


# ---------------------------------------------------------------- snapshots


def snapshot(modules: Iterable[LocalModule], folder: str) -> list[str]:
    """Copy the top-level modules and packages among modules, the packages whole; return the files that were left out.

    Left out are large files that are no code (see `LARGEST_DATA_FILE`), caches and hidden files.
    """
    left_out: list[str] = []

    def ignore(place: str, names: list[str]) -> list[str]:
        found = [name for name in names if name.startswith(".") or name == "__pycache__"]
        for name in set(names).difference(found):
            path = os.path.join(place, name)
            large = not name.endswith(_CODE_SUFFIXES) and os.path.isfile(path) and os.path.getsize(path) > LARGEST_DATA_FILE
            if large or not os.path.exists(path):
                left_out.append(path)
                found.append(name)
        return found

    for each in modules:
        for place in _places(each) if "." not in each.name else ():
            target = os.path.join(folder, os.path.basename(place))
            if os.path.isdir(place):
                shutil.copytree(place, target, ignore=ignore, copy_function=_copy, dirs_exist_ok=True)
            else:
                os.makedirs(folder, exist_ok=True)
                _copy(place, target)
    return left_out


def _copy(source: str, target: str) -> None:
    """Copy a file, its times included, and wait until the disk has it."""
    shutil.copy2(source, target)
    with open(target, "rb") as file:
        os.fsync(file.fileno())
