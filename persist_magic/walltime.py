"""Spans of time as schedulers write them: "1-12:00:00", "4:00:00", "30:00".

Owns the two functions between that text and seconds. Knows nothing else.
"""

from __future__ import annotations

import math
import re


def parse_walltime(text: str) -> float | None:
    """Return the seconds of "[days-]hours:minutes:seconds", "minutes:seconds" or "minutes"; None for anything else.

    The forms are those of sbatch's ``--time`` and of squeue's ``%l`` and ``%L``.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip(), re.ASCII)
    if match is None:
        return None
    days, *parts = match.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None:  # days-hours[:minutes[:seconds]]
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:
        hours, (minutes, seconds) = 0, [*numbers, 0][:2]
    return float(((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds)


def format_walltime(seconds: float) -> str:
    """Return "4:00:00" or "1-12:00:00", as sbatch's ``--time`` takes it; parts of a second count as one."""
    minutes, second = divmod(math.ceil(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}-{hour:02d}:{minute:02d}:{second:02d}" if days else f"{hour}:{minute:02d}:{second:02d}"
