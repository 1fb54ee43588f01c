"""The text of a cluster's files. Owns slurm.conf and slurmdbd.conf; pure functions, no file is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

CPUS = 4
MEMORY = 8000
"""MB of each node. The nodes claim what they like (``config_overrides``), so the machine may be smaller."""


def slurm_conf(
    directory: Path,
    *,
    name: str,
    host: str,
    user: str,
    controller_port: int,
    node_ports: Sequence[int],
    accounting_port: int | None,
    settings: Mapping[str, object],
) -> str:
    """Return slurm.conf's text.

    Parameters
    ----------
    directory
        The cluster's directory.
    name
        The cluster's name.
    host
        This machine's name as ``hostname -s`` tells it: slurmctld refuses any other.
    user
        Who runs all daemons.
    controller_port, node_ports, accounting_port
        The ports of slurmctld, of each slurmd, and of slurmdbd (None without accounting).
    settings
        More settings; they win over these.
    """
    chosen: dict[str, object] = {
        "ClusterName": name,
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": controller_port,
        "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
        "SlurmUser": user,
        "SlurmdUser": user,
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={directory}/munge/socket",
        "StateSaveLocation": f"{directory}/state",
        "SlurmdSpoolDir": f"{directory}/spool/%n",
        "SlurmctldPidFile": f"{directory}/state/slurmctld.pid",
        "SlurmdPidFile": f"{directory}/spool/%n.pid",
        "SlurmctldLogFile": f"{directory}/logs/slurmctld.log",
        "SlurmdLogFile": f"{directory}/logs/%n.log",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/linux",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU",
        "SlurmdParameters": "config_overrides",
        "SchedulerParameters": "sched_min_interval=0,batch_sched_delay=0,bf_interval=1",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "ReturnToService": 2,
        "MpiDefault": "none",
        "AccountingStorageType": "accounting_storage/none",
    }
    if accounting_port is not None:
        chosen |= {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": accounting_port,
        }
    chosen |= settings
    lines = [f"{key}={value}" for key, value in chosen.items()]
    for number, port in enumerate(node_ports, 1):
        lines.append(
            f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} RealMemory={MEMORY}"
        )
    lines += [
        f"PartitionName=debug Nodes=n[1-{len(node_ports)}] Default=YES PriorityTier=1 PreemptMode=REQUEUE",
        f"PartitionName=urgent Nodes=n[1-{len(node_ports)}] PriorityTier=10",
    ]
    return "\n".join(lines) + "\n"


def slurmdbd_conf(directory: Path, *, host: str, user: str, port: int) -> str:
    """Return slurmdbd.conf's text; the daemon finds it beside slurm.conf, and wants it readable by its user only."""
    settings = {
        "DbdHost": host,
        "DbdAddr": "127.0.0.1",
        "DbdPort": port,
        "SlurmUser": user,
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={directory}/munge/socket",
        "PidFile": f"{directory}/state/slurmdbd.pid",
        "LogFile": f"{directory}/logs/slurmdbd.log",
        "CommunicationParameters": "NoInAddrAny",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "localhost",  # with MYSQL_UNIX_PORT in the environment: the socket there
        "StorageUser": user,
        "StorageLoc": "slurm",
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
