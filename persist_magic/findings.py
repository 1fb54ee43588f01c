"""What an examination finds: a verdict, words for people, and how to mend it.

Owns these words' form. Knows nothing of what is examined; imports nothing of the package.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """How good or bad something is. A fact is neither, but worth knowing."""

    OK = "ok"
    FACT = "fact"
    WARNING = "warning"
    TROUBLE = "trouble"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    topic : str
        What it belongs to: "root", "versions", a backend's name.
    verdict : Verdict
    words : str
        What was found, in a line.
    advice : str
        How to mend it; empty where nothing is to be done.
    """

    topic: str
    verdict: Verdict
    words: str
    advice: str = ""
