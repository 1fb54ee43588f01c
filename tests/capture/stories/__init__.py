"""The stories, as tables: what a session holds, and what its job must find.

Each has a name that says what is meant, a set-up, which real cells run (a line ``# ---`` parts them), and a cell that becomes
a job and checks. ``{scratch}`` stands for a folder with ``data.txt`` (two lines) and ``local/helpers.py``.
"""
