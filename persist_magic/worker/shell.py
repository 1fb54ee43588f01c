"""The IPython shell of a job, made when the cell or what it uses first asks for one.

Owns what of IPython is different in a job: displays and errors go to the recorder instead of a frontend. Importing this
module imports IPython.
"""

from __future__ import annotations

import sys
from types import ModuleType, TracebackType
from typing import Any

from IPython.core.compilerop import CachingCompiler
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type
from traitlets.config import Config

from ..store import JobSpec
from .recording import Recorder


class RecordingPublisher(DisplayPublisher):
    """Records what is displayed."""

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: object = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **rest: object,
    ) -> None:
        kind = "update_display_data" if update else "display_data"
        identity = (transient or {}).get("display_id")
        named = {} if identity is None else {"display_id": str(identity)}
        self.shell.recorder.record(kind, data=data, metadata=metadata or {}, **named)

    def clear_output(self, wait: bool = False) -> None:
        self.shell.recorder.record("clear_output", wait=bool(wait))


class JobCompiler(CachingCompiler):
    """Knows the cell's file as the job's."""

    def format_code_name(self, name: str) -> tuple[str, str] | None:
        shell = JobShell.instance()
        return ("Job", shell.job) if name == shell.cell_file else super().format_code_name(name)


class JobShell(InteractiveShell):
    """The shell that ``get_ipython()`` gives in a job."""

    recorder: Recorder
    job: str
    cell_file: str
    compiler_class = Type(JobCompiler, klass=CachingCompiler)
    display_pub_class = Type(RecordingPublisher, klass=DisplayPublisher)

    def enable_gui(self, gui: str | None = None) -> None:
        """Do nothing: no window can be shown where a job runs; ``%matplotlib`` asks for this."""

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        self.recorder.record_error(evalue, stb, self.InteractiveTB.stb2text(stb) + "\n")

    def traceback_lines(self, error: BaseException, trace: TracebackType | None) -> list[str]:
        """Return a traceback as this session would show it, coloured."""
        lines: list[str] = self.InteractiveTB.structured_traceback(type(error), error, trace, tb_offset=0)
        return lines


def make(main: ModuleType, recorder: Recorder, cell_file: str, spec: JobSpec) -> JobShell:
    """Make the shell.

    For the job of a notebook its class has the name of a notebook's shell: by that libraries (plotly, rich, pandas) decide
    whether to display something rich.
    """
    config = Config()
    config.HistoryManager.enabled = False
    config.InlineBackend.update(spec.figures.get("inline", {}))
    kind: type[JobShell] = JobShell
    if spec.notebook:
        kind = type("ZMQInteractiveShell", (JobShell,), {"__module__": "ipykernel.zmqshell"})
    shell = kind.instance(
        user_module=main,
        user_ns=main.__dict__,
        config=config,
        colors="neutral",
    )
    shell.recorder, shell.job, shell.cell_file = recorder, spec.name, cell_file
    manager: Any = shell.extension_manager
    for extension in spec.extensions:
        try:
            manager.load_extension(extension)
        except Exception as error:  # noqa: BLE001  the cell may not need it; then it must not fail for it
            print(f"persist_magic: extension {extension} was not loaded: {error}", file=sys.stderr)
    return shell
