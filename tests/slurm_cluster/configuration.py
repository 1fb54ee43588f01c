"""slurm.conf and slurmdbd.conf of the cluster. Pure: values in, text out; owns what the settings are and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def slurm_conf(
    directory: Path,
    *,
    cluster: str,
    host: str,
    port: int,
    nodes: Mapping[str, int],
    accounting_port: int | None,
    min_job_age: int,
    kill_wait: int,
) -> str:
    """Return slurm.conf(5): several nodes of four cores on one host, a partition whose jobs another one may preempt.

    Parameters
    ----------
    nodes : mapping of str to int
        The ports of the nodes' daemons.
    accounting_port : int or None
        Of slurmdbd; None is no accounting.
    min_job_age, kill_wait : int
        Seconds.
    """
    every = ",".join(nodes)
    lines = [
        f"ClusterName={cluster}",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={port}",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={directory}/munge.socket",
        "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny",  # all listen on the loopback only
        f"StateSaveLocation={directory}/state",
        f"SlurmdSpoolDir={directory}/spool-%n",
        f"TmpFS={directory}/tmp-%n",
        f"SlurmctldPidFile={directory}/slurmctld.pid",
        f"SlurmdPidFile={directory}/slurmd-%n.pid",
        f"SlurmctldLogFile={directory}/slurmctld.log",
        f"SlurmdLogFile={directory}/%n.log",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "MpiDefault=pmix",  # what Debian's Open MPI understands
        "ReturnToService=2",
        "SlurmctldTimeout=10",
        "SlurmdTimeout=20",
        "MessageTimeout=10",
        f"MinJobAge={min_job_age}",
        f"KillWait={kill_wait}",
        "SchedulerType=sched/backfill",
        "SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,bf_interval=5",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU",
        "SlurmdParameters=config_overrides",
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        "JobAcctGatherType=jobacct_gather/linux",
        *(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=8000"
            for node, port in nodes.items()
        ),
        f"PartitionName=debug Nodes={every} Default=YES MaxTime=INFINITE DefaultTime=60 PriorityTier=1 PreemptMode=REQUEUE",
        f"PartitionName=urgent Nodes={every} MaxTime=INFINITE DefaultTime=60 PriorityTier=10",
    ]
    if accounting_port is not None:
        lines += [
            "AccountingStorageType=accounting_storage/slurmdbd",
            "AccountingStorageHost=127.0.0.1",
            f"AccountingStoragePort={accounting_port}",
            f"AccountingStoragePass={directory}/munge.socket",  # slurm.conf(5): with munge, the socket's path
        ]
    return "\n".join(lines) + "\n"


def slurmdbd_conf(directory: Path, *, host: str, port: int) -> str:
    """Return slurmdbd.conf(5): the database is reached through its socket, as root, without a password."""
    lines = [
        "AuthType=auth/munge",
        f"AuthInfo=socket={directory}/munge.socket",
        "CommunicationParameters=NoInAddrAny",
        f"DbdHost={host}",
        "DbdAddr=127.0.0.1",
        f"DbdPort={port}",
        "SlurmUser=root",
        f"LogFile={directory}/slurmdbd.log",
        f"PidFile={directory}/slurmdbd.pid",
        "StorageType=accounting_storage/mysql",
        "StorageHost=localhost",
        "StorageUser=root",
        "StorageLoc=slurm_acct_db",
    ]
    return "\n".join(lines) + "\n"
