"""Which session globals a cell needs: static analysis of its source.

Owns the definite-assignment walk over the syntax tree and the reading of IPython's expansions (``$x``, ``{x}``).
What functions, classes and instances need in turn is found while they are pickled (`pickler`), not here.
Knows nothing of values: it is given the set of names that exist.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import re
import string
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .bytecode import IDENTIFIER, TAKES_CODE, code_globals, code_imports

Assigned: TypeAlias = "frozenset[str] | None"
"""The names certainly assigned at a point; None after ``raise``, ``break``, …: that point is never reached."""

_DYNAMIC = frozenset({"eval", "exec", "globals", "locals", "vars"})
_CODE_MAGICS = frozenset({"time", "timeit", "prun", "memit", "mprun", "lprun", "capture", "debug"})
_PRIVATE_MAGICS = frozenset({"timeit", "memit"})
"""Magics that run code in a namespace of its own."""

_VALUED_OPTIONS = {"timeit": "nrp", "prun": "lsTD", "memit": "rti", "mprun": "fT", "lprun": "fmTDsu", "debug": "b"}
"""The options of code magics that take a value."""

_BINDING_MAGICS = frozenset({"run", "pylab", "load_ext", "store", "R", "cython", "cython_pyximport"})
"""Magics that may bind names of their own."""

_EVALUATING_METHODS = frozenset({"ev", "ex", "run_cell"})
_SHELL_METHODS = frozenset({"system", "getoutput", "getoutput_", "sx"})
_PROVIDED = frozenset({"__name__", "__doc__", "__builtins__", "get_ipython", "display", "exit", "quit"})
"""What every worker has."""


@dataclass(frozen=True)
class Needs:
    """What a cell reads and writes.

    Attributes
    ----------
    names : list of str
        Session globals read before they are certainly assigned.
    mentioned : list of str
        Session globals that stand in a string given to ``eval``, ``query`` and the like.
    missing : list of str
        Names read that neither the session nor builtins have.
    assigned : set of str
        Names that the cell may assign.
    attributes : set of str
        Attribute names in the cell.
    imports : set of str
        Modules that the cell imports.
    warnings : list of str
        Accesses that cannot be followed, in words.
    """

    names: list[str]
    mentioned: list[str]
    missing: list[str]
    assigned: set[str]
    attributes: set[str]
    imports: set[str]
    warnings: list[str]


def needed_names(code: str, known: Collection[str], future_flags: int = 0, windows: Collection[str] = ()) -> Needs:
    """Analyse a cell.

    Parameters
    ----------
    code : str
        Python, with IPython's syntax already translated to ``get_ipython()`` calls.
    known : collection of str
        The names that the session has.
    future_flags : int
        The session's ``from __future__`` compiler flags.
    windows : collection of str
        The names that are bound to the module ``__main__`` or to its globals, through which others can be read.

    Raises
    ------
    SyntaxError
        As the compiler would.
    """
    walk = _Walk(known, windows)
    walk.lazy_annotations = bool(future_flags & __future__.annotations.compiler_flag)
    walk.body(ast.parse(code).body, frozenset())
    return Needs(
        names=[name for name in walk.reads if name in known],
        mentioned=[name for name in walk.mentions if name not in walk.reads],
        missing=walk.missing(),
        assigned=set(walk.stores),
        attributes=walk.attributes,
        imports=walk.imports,
        warnings=walk.warnings,
    )


def expansion_names(text: str) -> list[str]:
    """Return the names that IPython's ``{expression}`` and ``$name`` read in a magic's or a command's line."""
    names: dict[str, None] = {}
    unescaped = text.replace("$$", "")
    try:
        fields = [expression for _, expression, _, _ in string.Formatter().parse(unescaped) if expression]
    except ValueError:
        fields = []
    for expression in fields:
        try:
            tree = ast.parse(expression, mode="eval")
        except SyntaxError:
            continue
        walk = _Walk(())
        walk.expression(tree.body, frozenset())
        names.update(walk.reads)
    names.update(dict.fromkeys(re.findall(r"\$([^\W\d]\w*)", unescaped)))
    return list(names)


def _meet(ends: Iterable[Assigned]) -> Assigned:
    """What is assigned where several ways come together."""
    reached = [end for end in ends if end is not None]
    return frozenset.intersection(*reached) if reached else None


class _Walk:
    """Follows the flow of control; each method takes the names assigned before and returns those assigned after."""

    def __init__(self, known: Collection[str], windows: Collection[str] = ()) -> None:
        self.known, self.windows = known, windows
        self.reads: dict[str, None] = {}
        self.mentions: dict[str, None] = {}
        self.stores: dict[str, None] = {}
        self.attributes: set[str] = set()
        self.imports: set[str] = set()
        self.warnings: list[str] = []
        self.lazy_annotations = False
        self.main_modules: set[str] = set()  # names under which the cell itself imports __main__
        self.any_name = False  # an unknown ``import *`` may bind any name
        self._guarded: set[str] = set()  # read where a NameError is caught

    def read(self, name: str, assigned: Assigned) -> None:
        if assigned is not None and name not in assigned:
            self.reads[name] = None

    def store(self, name: str, assigned: Assigned) -> Assigned:
        self.stores[name] = None
        return assigned if assigned is None else assigned | {name}

    def missing(self) -> list[str]:
        """Names read that exist nowhere. One that the cell assigns or whose NameError it catches may be meant so."""
        if self.any_name:
            return []
        return [
            name
            for name in self.reads
            if name not in self.known
            and name not in self.stores
            and name not in self._guarded
            and name not in _PROVIDED
            and not hasattr(builtins, name)
        ]

    # ---- statements

    def body(self, statements: Iterable[ast.stmt], assigned: Assigned) -> Assigned:
        for statement in statements:
            assigned = self.statement(statement, assigned)
        return assigned

    def statement(self, node: ast.AST, assigned: Assigned) -> Assigned:
        handler: Callable[[Any, Assigned], Assigned] = getattr(self, f"on_{type(node).__name__}", self.children)
        return handler(node, assigned)

    expression = statement

    def children(self, node: ast.AST, assigned: Assigned) -> Assigned:
        for child in ast.iter_child_nodes(node):
            assigned = self.statement(child, assigned)
        return assigned

    def target(self, node: ast.expr, assigned: Assigned) -> Assigned:
        if isinstance(node, ast.Name):
            return self.store(node.id, assigned)
        if isinstance(node, (ast.Tuple, ast.List)):
            for element in node.elts:
                assigned = self.target(element, assigned)
            return assigned
        if isinstance(node, ast.Starred):
            return self.target(node.value, assigned)
        return self.children(node, assigned)

    def on_Assign(self, node: ast.Assign, assigned: Assigned) -> Assigned:
        assigned = self.expression(node.value, assigned)
        for each in node.targets:
            assigned = self.target(each, assigned)
        return assigned

    def on_AnnAssign(self, node: ast.AnnAssign, assigned: Assigned) -> Assigned:
        if node.value is not None:
            assigned = self.expression(node.value, assigned)
        self.annotation(node.annotation, assigned)
        return self.target(node.target, assigned) if node.value is not None else assigned

    def on_AugAssign(self, node: ast.AugAssign, assigned: Assigned) -> Assigned:
        if isinstance(node.target, ast.Name):
            self.read(node.target.id, assigned)
        return self.target(node.target, self.expression(node.value, assigned))

    def on_Delete(self, node: ast.Delete, assigned: Assigned) -> Assigned:
        for each in node.targets:
            if isinstance(each, ast.Name):
                self.read(each.id, assigned)
                assigned = assigned if assigned is None else assigned - {each.id}
            else:
                assigned = self.target(each, assigned)
        return assigned

    def on_For(self, node: ast.For, assigned: Assigned) -> Assigned:
        assigned = self.expression(node.iter, assigned)
        self.body(node.body, self.target(node.target, assigned))
        self.body(node.orelse, assigned)
        return assigned  # the loop may run not once, or leave by break before the else

    on_AsyncFor = on_For

    def on_While(self, node: ast.While, assigned: Assigned) -> Assigned:
        assigned = self.expression(node.test, assigned)
        self.body(node.body, assigned)
        self.body(node.orelse, assigned)
        return assigned

    def on_If(self, node: ast.If, assigned: Assigned) -> Assigned:
        assigned = self.expression(node.test, assigned)
        return _meet([self.body(node.body, assigned), self.body(node.orelse, assigned)])

    def on_With(self, node: ast.With, assigned: Assigned) -> Assigned:
        for item in node.items:
            assigned = self.expression(item.context_expr, assigned)
            if item.optional_vars is not None:
                assigned = self.target(item.optional_vars, assigned)
        after = self.body(node.body, assigned)
        if after is None or any(_swallows(item.context_expr) for item in node.items):
            return assigned
        return after

    on_AsyncWith = on_With

    def on_Try(self, node: ast.Try, assigned: Assigned) -> Assigned:
        before = set(self.reads)
        after_body = self.body(node.body, assigned)
        if any(_catches_name_error(handler) for handler in node.handlers):
            self._guarded |= self.reads.keys() - before
        ends = [self.body(node.orelse, after_body)]
        for handler in node.handlers:
            inside = self.expression(handler.type, assigned) if handler.type is not None else assigned
            if handler.name:
                inside = self.store(handler.name, inside)
            inside = self.body(handler.body, inside)
            ends.append(inside - {handler.name} if inside is not None and handler.name else inside)
        end = _meet(ends)
        if node.finalbody:
            final = self.body(node.finalbody, assigned)
            return None if final is None else end if end is None else end | final
        return end

    on_TryStar = on_Try

    def on_Match(self, node: ast.Match, assigned: Assigned) -> Assigned:
        assigned = self.expression(node.subject, assigned)
        ends = []
        irrefutable = False
        for case in node.cases:
            inside = assigned
            for part in ast.walk(case.pattern):
                if isinstance(part, ast.MatchValue):
                    inside = self.expression(part.value, inside)
                elif isinstance(part, ast.MatchClass):
                    inside = self.expression(part.cls, inside)
                for name in (getattr(part, "name", None), getattr(part, "rest", None)):
                    if isinstance(name, str):
                        inside = self.store(name, inside)
            if case.guard is not None:
                inside = self.expression(case.guard, inside)
            elif isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None:
                irrefutable = True
            ends.append(self.body(case.body, inside))
        return _meet(ends if irrefutable else [*ends, assigned])

    def on_Raise(self, node: ast.Raise, assigned: Assigned) -> Assigned:
        self.children(node, assigned)
        return None

    def on_Break(self, node: ast.Break, assigned: Assigned) -> Assigned:
        return None

    def on_Continue(self, node: ast.Continue, assigned: Assigned) -> Assigned:
        return None

    def on_Import(self, node: ast.Import, assigned: Assigned) -> Assigned:
        for alias in node.names:
            self.imports.add(alias.name)
            if alias.name == "__main__":
                self.main_modules.add(alias.asname or alias.name)
            assigned = self.store(alias.asname or alias.name.partition(".")[0], assigned)
        return assigned

    def on_ImportFrom(self, node: ast.ImportFrom, assigned: Assigned) -> Assigned:
        self.imports.add(node.module or "")
        if node.module == "__main__":
            for alias in node.names:
                self.read(alias.name, assigned)
        for alias in node.names:
            self.imports.add(f"{node.module}.{alias.name}")  # perhaps a submodule
            if node.module == "__future__" and alias.name == "annotations":
                self.lazy_annotations = True
            if alias.name != "*":
                assigned = self.store(alias.asname or alias.name, assigned)
                continue
            module = sys.modules.get(node.module or "")
            if module is None:
                self.warnings.append(f"line {node.lineno}: from {node.module} import * binds names that are not known here")
                self.any_name = True
                continue
            for name in getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]:
                assigned = self.store(name, assigned)
        return assigned

    def on_Global(self, node: ast.Global, assigned: Assigned) -> Assigned:
        return assigned

    # ---- functions and classes

    def on_FunctionDef(self, node: ast.FunctionDef, assigned: Assigned) -> Assigned:
        self.nested(self._evaluated_at_definition(node, assigned), assigned, own=node.name)
        return self.store(node.name, assigned)

    on_AsyncFunctionDef = on_FunctionDef

    def on_TypeAlias(self, node: Any, assigned: Assigned) -> Assigned:
        self.nested(node, assigned, own=node.name.id)
        return self.store(node.name.id, assigned)

    def on_Lambda(self, node: ast.Lambda, assigned: Assigned) -> Assigned:
        self.nested(ast.copy_location(ast.Expr(node), node), assigned)
        return assigned

    def on_ClassDef(self, node: ast.ClassDef, assigned: Assigned) -> Assigned:
        if getattr(node, "type_params", None):
            self.nested(node, assigned, own=node.name)
            return self.store(node.name, assigned)
        for expression in (*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)):
            assigned = self.expression(expression, assigned)
        self.class_body(node, assigned)
        return self.store(node.name, assigned)

    def class_body(self, node: ast.ClassDef, assigned: Assigned) -> None:
        _ClassBody(self, node.name, assigned).body(node.body, frozenset())

    def _evaluated_at_definition(self, node: Any, assigned: Assigned) -> Any:
        """Read what is evaluated before the function's name is bound; return the function without it."""
        arguments = node.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        annotations = [each.annotation for each in parameters if each is not None and each.annotation is not None]
        annotations += [node.returns] if node.returns is not None else []
        evaluated = [*node.decorator_list, *arguments.defaults, *filter(None, arguments.kw_defaults)]
        for expression in evaluated:
            self.expression(expression, assigned)
        if not getattr(node, "type_params", None):
            for expression in annotations:
                self.annotation(expression, assigned)
        fields = {name: getattr(node, name, None) for name in node._fields}
        fields["decorator_list"] = []
        if not getattr(node, "type_params", None):
            fields["returns"] = None
        fields["args"] = ast.arguments(
            posonlyargs=[ast.arg(each.arg) for each in arguments.posonlyargs],
            args=[ast.arg(each.arg) for each in arguments.args],
            vararg=arguments.vararg and ast.arg(arguments.vararg.arg),
            kwonlyargs=[ast.arg(each.arg) for each in arguments.kwonlyargs],
            kw_defaults=[default and ast.Constant(0) for default in arguments.kw_defaults],
            kwarg=arguments.kwarg and ast.arg(arguments.kwarg.arg),
            defaults=[ast.Constant(0) for _ in arguments.defaults],
        )
        return ast.copy_location(type(node)(**fields), node)

    def nested(self, node: ast.stmt, assigned: Assigned, own: str | None = None) -> None:
        """A function, at its definition: the globals that its bytecode, at any depth, looks up."""
        try:
            code = compile(ast.fix_missing_locations(ast.Module([node], [])), "<cell>", "exec")
        except SyntaxError:  # what it says stands outside this node; the real compilation will tell
            return
        for name in code_globals(code):
            if name != own:
                self.read(name, assigned)
        self.imports.update(code_imports(code))
        through_main = "__main__" in self.imports or bool(self.windows)
        for part in ast.walk(node):
            if through_main:
                self._read_through_main(part, assigned)
            if isinstance(part, ast.Attribute):
                self.attributes.add(part.attr)
            elif isinstance(part, ast.Global):
                self.stores.update(dict.fromkeys(part.names))
            elif isinstance(part, ast.Call):
                self.call(part, assigned)
            elif isinstance(part, ast.Try) and any(map(_catches_name_error, part.handlers)):
                self._guarded |= {each.id for each in ast.walk(part) if isinstance(each, ast.Name)}

    def _read_through_main(self, part: ast.AST, assigned: Assigned) -> None:
        """What a function reads of the module ``__main__``."""
        if isinstance(part, ast.Attribute) and part.attr in self.known and isinstance(part.value, ast.Name):
            self.read(part.attr, assigned)
        elif isinstance(part, ast.ImportFrom) and part.module == "__main__":
            for alias in part.names:
                self.read(alias.name, assigned)

    def annotation(self, node: ast.expr, assigned: Assigned) -> None:
        """An annotation: an expression, or text that typing may evaluate later."""
        if self.lazy_annotations:
            self.mention(ast.unparse(node), assigned)
            return
        self.expression(node, assigned)
        for text in _string_arguments(part for part in ast.walk(node) if isinstance(part, ast.expr)):
            self.mention(text, assigned)

    # ---- expressions

    def on_Name(self, node: ast.Name, assigned: Assigned) -> Assigned:
        if isinstance(node.ctx, ast.Load):
            self.read(node.id, assigned)
            return assigned
        return self.store(node.id, assigned)

    def on_Attribute(self, node: ast.Attribute, assigned: Assigned) -> Assigned:
        self.attributes.add(node.attr)
        if self._is_window(node.value, assigned) and node.attr in self.known:
            self.read(node.attr, assigned)
        return self.expression(node.value, assigned)

    def on_Subscript(self, node: ast.Subscript, assigned: Assigned) -> Assigned:
        if self._is_window(node.value, assigned):
            if isinstance(node.slice, ast.Constant):
                if node.slice.value in self.known:
                    self.read(str(node.slice.value), assigned)
            else:
                self.warn_of(node, f"{ast.unparse(node)}")
        return self.children(node, assigned)

    def _is_window(self, node: ast.expr, assigned: Assigned) -> bool:
        """Whether an expression is the session's ``__main__``, or its globals."""
        if not isinstance(node, ast.Name) or assigned is None:
            return False
        return node.id in self.main_modules or (node.id in self.windows and node.id not in assigned)

    def warn_of(self, node: ast.expr, words: str) -> None:
        self.warnings.append(f"line {node.lineno}: {words} may read names that cannot be seen; add them with --with")

    def on_NamedExpr(self, node: ast.NamedExpr, assigned: Assigned) -> Assigned:
        return self.target(node.target, self.expression(node.value, assigned))

    def on_BoolOp(self, node: ast.BoolOp, assigned: Assigned) -> Assigned:
        assigned = self.expression(node.values[0], assigned)
        inside = assigned
        for value in node.values[1:]:
            inside = self.expression(value, inside)
        return assigned

    def on_IfExp(self, node: ast.IfExp, assigned: Assigned) -> Assigned:
        assigned = self.expression(node.test, assigned)
        return _meet([self.expression(node.body, assigned), self.expression(node.orelse, assigned)])

    def comprehension(self, node: Any, assigned: Assigned) -> Assigned:
        outer = self.stores
        self.stores = {}
        inside = assigned
        for generator in node.generators:
            inside = self.target(generator.target, self.expression(generator.iter, inside))
            for condition in generator.ifs:
                inside = self.expression(condition, inside)
        for name in ("key", "value", "elt"):
            if hasattr(node, name):
                inside = self.expression(getattr(node, name), inside)
        self.stores = outer
        for part in ast.walk(node):
            if isinstance(part, ast.NamedExpr):
                self.stores[part.target.id] = None
        return assigned

    on_ListComp = on_SetComp = on_DictComp = on_GeneratorExp = comprehension

    def on_Call(self, node: ast.Call, assigned: Assigned) -> Assigned:
        after = self.children(node, assigned)
        if isinstance(node.func, ast.Attribute) and _is_shell(node.func.value):
            return self.magic(node.func.attr, _string_arguments(node.args), after)
        self.call(node, assigned)
        return after

    # ---- what stands in strings

    def call(self, node: ast.Call, assigned: Assigned) -> None:
        function = node.func
        if isinstance(function, ast.Attribute):
            if _is_shell(function.value):
                self.magic(function.attr, _string_arguments(node.args), assigned)
            elif function.attr in TAKES_CODE:
                self.mention_all(node, assigned)
        elif isinstance(function, ast.Name):
            constant = self.mention_all(node, assigned) if function.id in TAKES_CODE else False
            if function.id in _DYNAMIC or function.id == "dir":
                self.any_name = True
            if function.id in _DYNAMIC and not constant and (function.id != "vars" or not node.args):
                self.warn_of(node, f"{function.id}()")

    def mention_all(self, node: ast.Call, assigned: Assigned) -> bool:
        """Names in the call's constant strings; false if it has none."""
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        texts = _string_arguments(arguments)
        for argument in arguments:
            if isinstance(argument, ast.JoinedStr):
                texts += _string_arguments(argument.values)
        for text in texts:
            self.mention(text, assigned)
        return bool(texts)

    def mention(self, text: str, assigned: Assigned) -> None:
        for name in IDENTIFIER.findall(text):
            if name in self.known and assigned is not None and name not in assigned:
                self.mentions[name] = None

    def magic(self, method: str, arguments: Sequence[str], assigned: Assigned) -> Assigned:
        """A translated magic or command: its line's expansions, and code for which it is only a wrapper."""
        line, code = "", ""
        if method in _EVALUATING_METHODS:
            for text in arguments:
                self.mention(text, assigned)
        elif method in _SHELL_METHODS:
            line = " ".join(arguments)
            assigned = self.store("_exit_code", assigned)
        elif method in ("run_line_magic", "run_cell_magic") and arguments:
            name = arguments[0]
            line = arguments[1] if len(arguments) > 1 else ""
            if name == "capture":
                assigned = self._captured_output(line, assigned)
            if name in _CODE_MAGICS:
                code = "\n".join((line if name != "capture" else "", *arguments[2:]))
            elif name in _BINDING_MAGICS:
                self.any_name = True
                if "-i" in line.split():
                    self.warnings.append("%run -i may read any name; add them with --with")
        for read in expansion_names(line):
            if read in self.known:  # else IPython leaves the text to the shell
                self.read(read, assigned)
        if not code:
            return assigned
        try:
            after = self.body(ast.parse(_without_options(arguments[0], code)).body, assigned)
        except SyntaxError:
            self.mention(code, assigned)
            return assigned
        return assigned if after is None or arguments[0] in _PRIVATE_MAGICS else after

    def _captured_output(self, line: str, assigned: Assigned) -> Assigned:
        """``%%capture out`` binds ``out``."""
        for word in line.split():
            if word.isidentifier():
                assigned = self.store(word, assigned)
        return assigned


class _ClassBody(_Walk):
    """A class's body: its own names hide globals, but its methods and comprehensions see only globals."""

    def __init__(self, outer: _Walk, name: str, assigned: Assigned) -> None:
        super().__init__(outer.known, outer.windows)
        self._outer, self._assigned = outer, assigned
        self._inside: Assigned = assigned if assigned is None else assigned | {name}
        self.mentions, self.warnings = outer.mentions, outer.warnings
        self.attributes, self.imports = outer.attributes, outer.imports
        self.lazy_annotations = outer.lazy_annotations

    def read(self, name: str, assigned: Assigned) -> None:
        if assigned is not None and name not in assigned:
            self._outer.read(name, self._assigned)

    def nested(self, node: ast.stmt, assigned: Assigned, own: str | None = None) -> None:
        self._outer.nested(node, self._inside, own)

    def class_body(self, node: ast.ClassDef, assigned: Assigned) -> None:
        self._outer.class_body(node, self._inside)

    def comprehension(self, node: Any, assigned: Assigned) -> Assigned:
        first = node.generators[0]
        self.expression(first.iter, assigned)  # the only part that is evaluated in the class's scope
        generators = [ast.comprehension(first.target, ast.Constant(0), first.ifs, first.is_async), *node.generators[1:]]
        fields = {name: getattr(node, name) for name in node._fields}
        self._outer.comprehension(type(node)(**{**fields, "generators": generators}), self._assigned)
        return assigned

    on_ListComp = on_SetComp = on_DictComp = on_GeneratorExp = comprehension


def _is_shell(node: ast.expr) -> bool:
    """``get_ipython()``, into which IPython translates magics and commands."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_ipython"


def _without_options(magic: str, code: str) -> str:
    """The code that follows a magic's options."""
    valued = _VALUED_OPTIONS.get(magic, "")
    while match := re.match(r"\s*-(-?\w)(\w*)(\s+|$)", code):
        code = code[match.end() :]
        if match[1] in valued and not match[2]:
            code = re.sub(r"^\S+\s*", "", code)
    return code


def _swallows(context: ast.expr) -> bool:
    """Whether a context manager is one that ends exceptions, so that its block may be cut short."""
    words = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(context)}
    return any("suppress" in word or "raises" in word.lower() for word in words)


def _string_arguments(nodes: Iterable[ast.expr]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _catches_name_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = {part.id for part in ast.walk(handler.type) if isinstance(part, ast.Name)}
    return bool(caught & {"NameError", "Exception", "BaseException"})
