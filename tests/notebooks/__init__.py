"""The tutorials in notebooks/, executed in real kernels: ``python -m tests.notebooks`` writes their outputs into them.

`execution` owns how a notebook is run, also through the death of its kernel; `keeping` owns what of its outputs is written down,
and what must not be.
"""

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "notebooks"
