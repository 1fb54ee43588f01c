"""Capture: a cell's source with exactly the session globals that it needs, written down.

`names` finds what the cell reads, `pickler` writes it with what its functions and classes use in turn, `environment`
records what else the cell's world consists of, `explain` finds the culprit when something cannot be written.
`pickler` serves the worker too, for what the job brings back.
"""
