"""A real Slurm cluster of several nodes on one machine, for the tests, for CI and by hand: ``python -m tests.cluster``.

`cluster` owns the daemons' lives, `configuration` the text of their files, `processes` what a process id means. All of it
needs the standard library and the distribution's packages only (``python -m tests.cluster packages``), and knows nothing of
persist_magic.
"""
