"""The text of a cluster's files. Owns slurm.conf and slurmdbd.conf: pure functions, no file is touched.

What the settings mean: slurm.conf(5) and slurmdbd.conf(5) of Slurm 22.05, Debian 12's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CPUS = 4
"""Of each node. Slurm believes it (``config_overrides``), whatever the machine has."""
MEMORY = 8000
"""Of each node, in MB; believed too."""


def slurm_conf(
    directory: Path,
    *,
    name: str,
    host: str,
    user: str,
    ports: Mapping[str, int],
    nodes: tuple[str, ...],
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
        This machine's name as ``hostname -s`` tells it: slurmctld refuses to run under any other.
    user
        Who runs all daemons.
    ports
        Of slurmctld, of each node, and of slurmdbd where there is accounting.
    nodes
        The nodes' names.
    settings
        More settings, which win over those here.
    """
    chosen: dict[str, object] = {
        "ClusterName": name,
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": ports["slurmctld"],
        "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",  # loopback only
        "SlurmUser": user,
        "SlurmdUser": user,
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={directory}/munge/socket",
        "StateSaveLocation": f"{directory}/state",
        "SlurmdSpoolDir": f"{directory}/spool/%n",
        # PMIx makes a directory per step there, which the nodes of one machine would quarrel about in /tmp
        "TmpFS": f"{directory}/tmp/%n",
        "SlurmctldPidFile": f"{directory}/state/slurmctld.pid",
        "SlurmdPidFile": f"{directory}/spool/%n.pid",
        "SlurmctldLogFile": f"{directory}/logs/slurmctld.log",
        "SlurmdLogFile": f"{directory}/logs/%n.log",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/linux",
        "MpiDefault": "pmix",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU",
        "SlurmdParameters": "config_overrides",
        "SchedulerParameters": "sched_min_interval=0,batch_sched_delay=0,bf_interval=1",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "ReturnToService": 2,
    }
    if "slurmdbd" in ports:
        chosen |= {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": ports["slurmdbd"],
            # not a password: munge's socket for this connection, which AuthInfo does not reach
            "AccountingStoragePass": f"{directory}/munge/socket",
        }
    chosen |= settings
    lines = [f"{key}={value}" for key, value in chosen.items()]
    lines += [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[node]} CPUs={CPUS} RealMemory={MEMORY}"
        for node in nodes
    ]
    lines += [
        f"PartitionName=debug Nodes={','.join(nodes)} Default=YES DefaultTime=60 PriorityTier=1 PreemptMode=REQUEUE",
        f"PartitionName=urgent Nodes={','.join(nodes)} DefaultTime=60 PriorityTier=10",
    ]
    return "\n".join(lines) + "\n"


def slurmdbd_conf(directory: Path, *, host: str, user: str, port: int) -> str:
    """Return slurmdbd.conf's text. The daemon looks for it beside slurm.conf, and wants nobody else to read it."""
    settings = {
        "DbdHost": host,
        "DbdAddr": "127.0.0.1",
        "DbdPort": port,
        "CommunicationParameters": "NoInAddrAny",
        "SlurmUser": user,
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={directory}/munge/socket",
        "PidFile": f"{directory}/state/slurmdbd.pid",
        "LogFile": f"{directory}/logs/slurmdbd.log",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "localhost",  # the socket that MYSQL_UNIX_PORT names; who asks is known there without a password
        "StorageUser": user,
        "StorageLoc": "slurm",
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
