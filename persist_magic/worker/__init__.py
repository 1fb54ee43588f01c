"""The worker: the process that restores a capture, runs the cell and writes what came of it.

`supervisor` watches, `execution` runs; of a sweep `chunk` watches, and `tasks` runs one process for each task. They start
with the standard library only and know `store`, `journal`, `restore`, `slots` and `processes`; nothing of IPython until the
cell asks for it, nothing of the session's side. The pickler of `capture` is imported when the cell has ended, for what it
brings back, or makes a checkpoint. `ranks` is for MPI, `running` for what the cell itself may ask and say. What it puts out
goes through `recording`; `watching` sees it import IPython, matplotlib or tqdm, which is when `shell`, `figures` and
`progress` come in; `ticker` writes what has to wait a moment.
"""
