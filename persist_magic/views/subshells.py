"""How a page's messages find their way in a kernel that computes: subshells (Jupyter's enhancement proposal 91).

Owns what is to be known of ipykernel for that, and the proof that it works.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

_SECONDS = 5.0


def let_the_page_choose(comm: Any) -> None:
    """Let messages to a comm be handled in the subshell that the page has asked for.

    ipykernel 7.4 hands them to the one that last published, the main one as soon as a cell shows the widget.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default


def unheard(kernel: Any) -> str:
    """Return why a message to a comm is not heard while the kernel's main thread runs this; "" if it is heard.

    A client of the kernel's own says something, from a thread, as a page would that has a subshell.
    """
    if not getattr(kernel, "_supports_kernel_subshells", False):
        return "this kernel has no subshells"
    from comm import create_comm, get_comm_manager

    comm = create_comm(target_name="persist_magic.doctor", primary=False)  # no page is told of it
    let_the_page_choose(comm)
    heard = threading.Event()
    comm.on_msg(lambda message: heard.set())
    get_comm_manager().register_comm(comm)
    trouble: list[str] = []
    try:
        comm.send({})  # as a cell that shows a widget does it
        speaker = threading.Thread(target=_say, args=(comm.comm_id, heard, trouble), name="persist_magic page", daemon=True)
        speaker.start()
        speaker.join(3 * _SECONDS)
    finally:
        get_comm_manager().unregister_comm(comm)
    if heard.is_set():
        return ""
    return trouble[0] if trouble else f"no word of it within {_SECONDS:g} s"


def _say(comm_id: str, heard: threading.Event, trouble: list[str]) -> None:
    from ipykernel.connect import get_connection_file
    from jupyter_client.blocking.client import BlockingKernelClient

    client = BlockingKernelClient(connection_file=get_connection_file())
    try:
        client.load_connection_file()
        client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=True)
        client.control_channel.send(client.session.msg("create_subshell_request", {}))
        subshell = client.get_control_msg(timeout=_SECONDS)["content"]["subshell_id"]
        message = client.session.msg("comm_msg", {"comm_id": comm_id, "data": {}})
        message["header"]["subshell_id"] = subshell
        client.shell_channel.send(message)
        heard.wait(_SECONDS)
        client.control_channel.send(client.session.msg("delete_subshell_request", {"subshell_id": subshell}))
        client.get_control_msg(timeout=_SECONDS)
    except Exception as error:  # noqa: BLE001  a kernel that does not answer as it should is what is looked for
        trouble.append(f"{type(error).__name__}: {error}")
    finally:
        with contextlib.suppress(Exception):
            client.stop_channels()
