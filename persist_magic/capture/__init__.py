"""Capture: a cell's source with exactly the session globals that it needs, written down.

`cell` brings it together: `names` finds what the cell reads; `pickler` and its reducers (`classes`, `instances`, `arrays`,
`library`, `canonical`) write it with what functions and classes use in turn; `payload` is the file that they write;
`modules` and `environment` record what else the cell's world consists of; `refusals` and `explain` tell what cannot be
written. `payload`, `pickler` and `explain` serve the worker, too, for what the job brings back.
"""
