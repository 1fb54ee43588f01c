"""The modules that a job imports: which are the user's own, where they lie, whether the session has what their files say.

Owns what counts as local (not of the standard library, not installed), the copies that ``--snapshot`` makes, and versions of
packages. A module travels by name, never by its contents. Knows nothing of pickling or jobs.
"""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import marshal
import os
import stat
import sys
import types
from collections.abc import Iterable, Iterator, Sequence

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
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or name == "__main__" or (top != name and _file_of(top) is None):
        return None
    module = sys.modules.get(name)
    try:
        spec = getattr(module, "__spec__", None) if module is not None else _find_spec(name)
    except (ImportError, AttributeError, ValueError, KeyError):  # the cell will tell
        return None
    file = getattr(module, "__file__", None) or getattr(spec, "origin", None)
    if isinstance(file, str) and file not in ("built-in", "frozen", "namespace"):
        path = os.path.abspath(file)
        return path if _is_local_file(path) else None
    folders = _folders(name)
    return "" if folders and all(map(_is_local_file, folders)) else None


def _folders(name: str) -> list[str]:
    """The folders of a package; none if it is no package, or not found."""
    parent, _, last = name.rpartition(".")
    if name in sys.modules:
        found = list(getattr(sys.modules[name], "__path__", ()))
    elif parent:  # importlib tells the folders of namespace packages only once their parents are imported
        found = [folder for place in _folders(parent) if os.path.isdir(folder := os.path.join(place, last))]
    else:
        found = list(getattr(importlib.util.find_spec(name), "submodule_search_locations", None) or ())
    return [os.path.abspath(folder) for folder in found]


def _find_spec(name: str) -> Any:
    """The spec of a module, without importing its parents."""
    parent = name.rpartition(".")[0]
    return importlib.machinery.PathFinder.find_spec(name, _folders(parent)) if parent else importlib.util.find_spec(name)


def local_modules(names: Iterable[str]) -> list[LocalModule]:
    """Return the local ones among modules, with all local ones that these import in turn, or hold something of."""
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
        waiting += _used_by(module) if module is not None else ()
        package = name if os.path.basename(path).startswith("__init__.") else parent
        waiting += _imported_in(path, package)
    return [found[name] for name in sorted(found)]


def _used_by(module: types.ModuleType) -> Iterator[str]:
    for value in list(vars(module).values()):
        if isinstance(value, types.ModuleType):
            yield value.__name__
        elif isinstance(value, (types.FunctionType, type)) and isinstance(value.__module__, str):
            yield value.__module__


def _imported_in(path: str, package: str) -> Sequence[str]:
    """The modules that a source file imports, anywhere in it."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return _imports_of(path, package, found.st_mtime_ns, found.st_size) if path.endswith(".py") else ()


@functools.lru_cache(maxsize=1024)
def _imports_of(path: str, package: str, mtime: int, size: int) -> tuple[str, ...]:
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return ()
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(dict.fromkeys(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            home = node.module or ""
            if node.level:  # relative to the package, or to one above it
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                home = ".".join(filter(None, (*above, node.module)))
            names[home] = None
            names.update(dict.fromkeys(f"{home}.{alias.name}" for alias in node.names if home))
    return tuple(names)


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


def with_roots(path: Sequence[str], cwd: str, modules: Iterable[LocalModule]) -> tuple[str, ...]:
    """Return a sys.path on which the top-level ones among modules are found.

    A session that has changed its directory since it imported one finds it no longer; the folder comes in the place that it
    had, that of the session's directory.
    """
    places = [os.path.dirname(place) for each in modules if "." not in each.name for place in _places(each)]
    missing = [place for place in dict.fromkeys(places) if place not in path]
    at = path.index(cwd) if cwd in path else len(path)
    return (*path[:at], *missing, *path[at:])


def _places(module: LocalModule) -> list[str]:
    """The file of a top-level module, or the folders of a package."""
    if module.path and not os.path.basename(module.path).startswith("__init__."):
        return [module.path]
    if module.path:
        return [os.path.dirname(module.path)]
    return _folders(module.name)


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
    imported = _imported_code(module, path)
    if imported is not None:
        return _meaning(imported) != _meaning(code)
    return _functions_differ(module, path, code) or _constants_differ(module, tree)


@functools.cache
def _process_start() -> float:
    import psutil

    return float(psutil.Process().create_time())


def _imported_code(module: types.ModuleType, path: str) -> types.CodeType | None:
    """The code that the import ran, if the bytecode that it left is still there: that of an older version of the file."""
    try:
        with open(getattr(module, "__cached__", None) or "", "rb") as file:
            data = file.read()
        source = os.stat(path)
        # PEP 552: magic number, flags (0: checked by time), then the source's time and size, 32 bits each
        stamp = int.from_bytes(data[8:12], "little"), int.from_bytes(data[12:16], "little")
        current = int(source.st_mtime) & 0xFFFFFFFF, source.st_size & 0xFFFFFFFF
        if data[:4] != importlib.util.MAGIC_NUMBER or any(data[4:8]) or stamp == current:
            return None  # another process may have imported the present version
        code = marshal.loads(data[16:])
    except (OSError, ValueError, EOFError, TypeError):
        return None
    return code if isinstance(code, types.CodeType) else None


def _meaning(code: types.CodeType) -> tuple[Any, ...]:
    """What code does: without docstrings and the lines that it stands on."""
    constants: list[Any] = []
    for index, constant in enumerate(code.co_consts):
        if isinstance(constant, types.CodeType):
            constants.append(_meaning(constant))
        elif index or not isinstance(constant, str):  # the first string is the docstring
            constants.append((type(constant), repr(constant)))
    return code.co_name, code.co_code, code.co_names, code.co_varnames, code.co_freevars, tuple(constants)


def _functions_differ(module: types.ModuleType, path: str, code: types.CodeType) -> bool:
    """Whether the module has a function that the file does not have."""
    written = {_meaning(each) for each in _nested(code)}
    return any(_meaning(each.__code__) not in written for each in _functions(vars(module), module.__name__, path))


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _nested(constant)


def _functions(members: Any, home: str, path: str) -> Iterator[types.FunctionType]:
    """The functions among members that were compiled from the module's file, those of classes included."""
    for value in list(members.values()):
        parts = (value.fget, value.fset, value.fdel) if isinstance(value, property) else (getattr(value, "__func__", value),)
        for function in parts:
            if isinstance(function, types.FunctionType) and os.path.abspath(function.__code__.co_filename) == path:
                yield function
        if type(value) is type and value.__module__ == home:
            yield from _functions(vars(value), home, path)


def _constants_differ(module: types.ModuleType, tree: ast.Module) -> bool:
    """Whether a top-level ``NAME = literal`` says something else than the module has.

    Only of names that the file binds once, so that no run of it gives them another value.
    """
    bound = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)]
    bound += [name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names]
    for node in tree.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        try:
            value = ast.literal_eval(node.value)
        except ValueError:
            continue
        name = node.targets[0].id
        if bound.count(name) != 1 or isinstance(value, (list, dict, set)):  # what changes in a run
            continue
        if name not in vars(module) or repr(vars(module)[name]) != repr(value):
            return True
    return False


# ---------------------------------------------------------------- snapshots


def snapshot(modules: Iterable[LocalModule], folder: str) -> list[str]:
    """Copy the top-level modules and packages among modules, the packages whole; return the files that were left out.

    Left out are large files that are no code (see `LARGEST_DATA_FILE`), caches and hidden files.
    """
    import shutil  # slow to import, and few jobs are given one

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
    _make_private(folder)
    return left_out


def _make_private(folder: str) -> None:
    """Let nobody else see or write what will be imported, whatever the modes of what it was copied from, and the umask.

    The bytecode that Python keeps beside it is imported, too.
    """
    for place, _, files in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in files)):
            os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) & ~0o077)
        os.makedirs(os.path.join(place, "__pycache__"), mode=0o700, exist_ok=True)


def _copy(source: str, target: str) -> None:
    """Copy a file, its times included, and wait until the disk has it."""
    import shutil

    shutil.copy2(source, target)
    with open(target, "rb") as file:
        os.fsync(file.fileno())
