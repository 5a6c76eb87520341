"""The configuration files of the tests' Slurm, as text.

Checked against slurm.conf(5), gres.conf(5), cgroup.conf(5) and slurmdbd.conf(5) of Slurm 22.05; where a value is not
what the manual suggests, the comment beside it says why.
"""

from __future__ import annotations

from typing import NamedTuple

ACCOUNT = "myproject"
CLUSTER = "testbed"
GPU_NODES = ("n1", "n2")
NODES = ("n1", "n2", "n3")
GPUS_PER_NODE = 4
CGROUPS = "/sys/fs/cgroup"


class Variant(NamedTuple):
    """What a test may want to be otherwise."""

    accounting: bool = True
    """Without it there are no MariaDB and slurmdbd, and no sacct; any account is taken then."""
    speed: int = 1
    """The daemons' clock runs so many times as fast; needs libfaketime. Clients and jobs keep the true time."""
    cgroup: bool = False
    """Memory is limited by cgroups: a job that takes too much ends OUT_OF_MEMORY. Needs root, and version 1 of them."""
    min_job_age_seconds: int = 300
    """squeue forgets jobs so long after their end, of the daemons' seconds."""
    max_array_size: int = 1001
    kill_wait_seconds: int = 5
    """From TERM to KILL for a job that ends or is taken back, of the daemons' seconds: time to record the end."""
    max_job_count: int = 10000
    """Slurm's default. Elements of arrays count one by one."""


class Site(NamedTuple):
    """What differs from one start of the cluster to the next."""

    directory: str
    """Absolute, without white space: slurm.conf has no quoting."""
    host: str
    """This machine's short name: the daemons refuse to serve under another."""
    user: str
    version: tuple[int, int]
    """Slurm's own, such as (22, 5)."""
    slurmdbd_port: int
    slurmctld_port: int
    slurmd_ports: tuple[int, ...]
    """One for each of NODES."""
    variant: Variant = Variant()

    @property
    def munge_socket(self) -> str:
        return f"{self.directory}/munge.socket"


def slurm_conf(site: Site) -> str:
    """slurm.conf: three made-up nodes on this host, an accounted cluster, every delay as short as it may be."""
    return "\n".join([*_daemons(site), *_resources(site), *_scheduling(site), *_accounting(site), ""])


def _daemons(site: Site) -> list[str]:
    directory = site.directory
    return [
        f"ClusterName={CLUSTER}",
        f"SlurmctldHost={site.host}(127.0.0.1)",
        f"SlurmctldPort={site.slurmctld_port}",
        f"SlurmUser={site.user}",
        f"SlurmdUser={site.user}",
        "AuthType=auth/munge",
        "CredType=cred/munge",
        # A requeued job waits for its old credential to expire: 120 s by default.
        f"AuthInfo=socket={site.munge_socket},cred_expire=5",
        # Listen on the addresses named here, that is on loopback, and nowhere else.
        "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny",
        f"StateSaveLocation={directory}/state",
        f"SlurmdSpoolDir={directory}/spool-%n",
        f"SlurmctldPidFile={directory}/slurmctld.pid",
        f"SlurmdPidFile={directory}/slurmd-%n.pid",
        f"SlurmctldLogFile={directory}/log/slurmctld.log",
        f"SlurmdLogFile={directory}/log/slurmd-%n.log",
        "MailProg=/bin/true",
        "MpiDefault=none",
        "SwitchType=switch/none",
        # Neither cgroups nor processor affinity: the nodes' processors do not exist, and no root is needed.
        "ProctrackType=proctrack/linuxproc",
        f"TaskPlugin=task/{'cgroup' if site.variant.cgroup else 'none'}",
        "SlurmdParameters=config_overrides",
        "ReturnToService=2",
    ]


def _resources(site: Site) -> list[str]:
    lines = [
        "GresTypes=gpu",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "DefMemPerCPU=256",
        "NodeName=DEFAULT State=UNKNOWN CPUs=64 Boards=1 SocketsPerBoard=2 CoresPerSocket=32 ThreadsPerCore=1"
        " RealMemory=256000 TmpDisk=10000",
    ]
    for node, port in zip(NODES, site.slurmd_ports):
        gpu = f" Gres=gpu:p100:{GPUS_PER_NODE} Feature=p100" if node in GPU_NODES else ""
        lines.append(f"NodeName={node} NodeHostname={site.host} NodeAddr=127.0.0.1 Port={port}{gpu}")
    others = ",".join(node for node in NODES if node not in GPU_NODES)
    return [
        *lines,
        "PartitionName=DEFAULT State=UP DefaultTime=00:10:00 MaxTime=7-00:00:00",
        f"PartitionName=big-gpu Nodes={','.join(GPU_NODES)} Default=YES",
        f"PartitionName=big-mem Nodes={others}",
        f"PartitionName=urgent Nodes={','.join(NODES)} PriorityTier=10",  # takes the place of the others' jobs
    ]


def _scheduling(site: Site) -> list[str]:
    return [
        f"MaxArraySize={site.variant.max_array_size}",
        f"MaxJobCount={site.variant.max_job_count}",
        "EnforcePartLimits=ALL",
        "JobRequeue=1",
        "PreemptMode=REQUEUE",
        "PreemptType=preempt/partition_prio",
        "SchedulerType=sched/backfill",
        "SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0,bf_interval=1,bf_continue",
        "PriorityType=priority/basic",
        f"KillWait={site.variant.kill_wait_seconds}",
        "CompleteWait=0",
        "InactiveLimit=0",
        f"MinJobAge={site.variant.min_job_age_seconds}",
        "WaitTime=0",
        # Slurm's defaults in true seconds: a client gives up after so many (tests count on it), and a job that has not
        # begun after so many is put back into the queue, with no time to save.
        f"MessageTimeout={min(100, 10 * site.variant.speed)}",
        f"BatchStartTimeout={10 * site.variant.speed}",
        # From 23.11 on at least five of the first.
        f"UnkillableStepTimeout={60 if site.variant.speed == 1 else 500}",
        "SlurmctldTimeout=5",
        # A node that does not answer is given up after 10 true seconds.
        f"SlurmdTimeout={10 * site.variant.speed}",
        "TCPTimeout=2",
    ]


def _accounting(site: Site) -> list[str]:
    gathering = ["JobAcctGatherType=jobacct_gather/linux", "JobAcctGatherFrequency=task=1", "JobCompType=jobcomp/none"]
    if not site.variant.cgroup:
        gathering.append("JobAcctGatherParams=OverMemoryKill")
    if not site.variant.accounting:
        return ["AccountingStorageType=accounting_storage/none", *gathering]
    lines = [
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        f"AccountingStoragePort={site.slurmdbd_port}",
        # With munge this is the socket; slurmctld and sacctmgr do not take AuthInfo's towards slurmdbd.
        f"AccountingStoragePass={site.munge_socket}",
        "AccountingStorageEnforce=associations,limits,qos",
        "AccountingStorageTRES=gres/gpu,gres/gpu:p100",
        *gathering,
    ]
    if site.version >= (21, 8):
        lines.append("AccountingStoreFlags=job_script,job_comment")
    return lines


def gres_conf(site: Site) -> str:
    """gres.conf: GPUs whose device files are links to /dev/null.

    A character device is a must: with anything else slurmd sets no CUDA_VISIBLE_DEVICES.
    """
    files = f"{site.directory}/gpu[0-{GPUS_PER_NODE - 1}]"
    return "AutoDetect=off\n" + "".join(f"NodeName={node} Name=gpu Type=p100 File={files}\n" for node in GPU_NODES)


def cgroup_conf(site: Site) -> str:
    """cgroup.conf: if not told otherwise, use none, and need none: slurmd starts where no cgroups are mounted.

    slurmd 22.05 looks for the kind of cgroups that is mounted unless one is named, and ends when there is none; naming
    the first kind touches nothing. From 23 on there is a word for what is meant.
    """
    if site.variant.cgroup:
        plugin = "CgroupPlugin=cgroup/v1\n" if site.version >= (22, 5) else ""
        return (
            f"{plugin}CgroupMountpoint={CGROUPS}\nConstrainRAMSpace=yes\nConstrainSwapSpace=no\nAllowedRAMSpace=100\n"
        )
    if site.version >= (23, 0):
        return "CgroupPlugin=disabled\n"
    return "CgroupPlugin=cgroup/v1\n" if site.version >= (22, 5) else "CgroupAutomount=no\n"


def slurmdbd_conf(site: Site) -> str:
    """slurmdbd.conf; must lie beside slurm.conf with mode 600. The database's socket comes from MYSQL_UNIX_PORT."""
    return "\n".join(
        [
            "AuthType=auth/munge",
            f"AuthInfo=socket={site.munge_socket}",
            f"DbdHost={site.host}",
            "DbdAddr=127.0.0.1",
            f"DbdPort={site.slurmdbd_port}",
            f"SlurmUser={site.user}",
            "StorageType=accounting_storage/mysql",
            "StorageHost=localhost",
            f"StorageUser={site.user}",
            "StorageLoc=slurm_acct",
            f"LogFile={site.directory}/log/slurmdbd.log",
            f"PidFile={site.directory}/slurmdbd.pid",
            "CommitDelay=1",
            "",
        ]
    )
