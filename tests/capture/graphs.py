"""Graphs of containers: made from a plan, and described so that two are equal only if the same positions hold the same object.

Owns what the property tests of `test_graphs` compare; imported by the tests and, as a file beside the notebook, by their
session and job. A plan is a list of nodes ``[kind, [child, …]]``; a child is the number of a node, or an atom ``["=", value]``.
"""

import numpy as np

MUTABLE = ("list", "dict", "set", "box", "slots", "objects")
FROZEN = ("tuple", "frozenset")
LEAVES = ("bytes", "array", "bytearray")
IDENTICAL = ("box", "slots")
"""Kinds of node that may stand in sets and be keys whatever they hold: their hash is their identity's."""


def build(plan, classes):
    """Return a list of the plan's nodes.

    Parameters
    ----------
    plan : list
        Tuples and frozensets may hold each other only forwards; what a set or a frozenset holds, or a dict has as keys, is
        hashable.
    classes : dict
        The classes for "box" and "slots".
    """
    made = {}

    def child(edge):
        return made[edge] if isinstance(edge, int) else edge[1]

    for number, (kind, edges) in enumerate(plan):
        if kind in classes:
            made[number] = classes[kind](f"{kind} {number}")
        elif kind == "objects":
            made[number] = np.empty(len(edges), dtype=object)
        elif kind in MUTABLE:
            made[number] = {"list": list, "dict": dict, "set": set}[kind]()
        elif kind == "array":
            made[number] = np.arange(number, dtype="f4").reshape(1, -1)
        elif kind in LEAVES:
            made[number] = {"bytes": bytes, "bytearray": bytearray}[kind](b"node %d" % number)
    for number, (kind, edges) in reversed(list(enumerate(plan))):
        if kind in FROZEN:
            made[number] = {"tuple": tuple, "frozenset": frozenset}[kind](map(child, edges))
    for number, (kind, edges) in enumerate(plan):
        node, children = made[number], [child(edge) for edge in edges]
        if kind == "list":
            node.extend(children)
        elif kind == "set":
            node.update(children)
        elif kind == "dict":
            node.update(zip(children[::2], children[1::2], strict=False))
        elif kind in classes:
            node.held = children
        elif kind == "objects":
            for place, each in enumerate(children):
                node[place] = each
    return [made[number] for number in range(len(plan))]


def describe(root):
    """Return a list that is equal for two roots only if they have the same values, types and shared objects in the same places."""
    words, numbers, kept = [], {}, []

    def visit(node):
        if isinstance(node, (int, float, str, type(None))) or (type(node) in (tuple, frozenset) and not node):
            words.append(repr(node))
            return
        if id(node) in numbers:
            words.append(numbers[id(node)])
            return
        numbers[id(node)] = len(numbers)
        kept.append(node)
        words.append(type(node).__name__)
        for part in parts(node):
            visit(part)
        words.append("end")

    visit(root)
    return words


def parts(node):
    """What a node holds, in an order that does not depend on hashes."""
    if isinstance(node, (set, frozenset)):
        return sorted(node, key=rank)
    if isinstance(node, dict):
        return [part for pair in node.items() for part in pair]
    if isinstance(node, np.ndarray):
        return [repr(node.dtype), repr(node.shape), *node.ravel().tolist()]
    if isinstance(node, (bytes, bytearray)):
        return [repr(node)]
    return [node.name, *node.held] if hasattr(node, "held") else node


def rank(element):
    """A word for an element of a set, which no other element has."""
    if type(element) in (tuple, frozenset):
        inner = sorted(map(rank, element)) if type(element) is frozenset else map(rank, element)
        return f"{type(element).__name__}({','.join(inner)})"
    return repr(element.name) if hasattr(element, "held") else f"{type(element).__name__} {element!r}"
