"""What other programs take of the machine during a phase: evidence that the machine disturbed it.

Linux only; elsewhere nothing is known and nothing is refused for it.
"""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from loadtest.samples import MachineLoad

_STAT = Path("/proc/stat")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
# The columns of a core in /proc/stat (proc_stat(5)) that are neither idle nor counted twice.
_BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq
_STEAL = 7


@dataclass(frozen=True)
class MachineClock:
    """The CPU seconds since the system's start, of the cores that this process may use."""

    at_s: float
    busy_s: float
    steal_s: float
    client_s: float
    """Of this process and of its children that have ended."""
    server_s: float
    cores: int

    @classmethod
    def read(cls, server_pid: int | None) -> "MachineClock | None":
        """Read the clocks; None without /proc/stat."""
        try:
            rows = _core_rows(_STAT.read_text())
        except (OSError, ValueError):
            return None
        if not rows:
            return None
        return cls(
            at_s=time.monotonic(),
            busy_s=sum(row[column] for row in rows for column in _BUSY) / _TICKS_A_SECOND,
            steal_s=sum(row[_STEAL] for row in rows) / _TICKS_A_SECOND,
            client_s=_own_and_ended_s(),
            server_s=_tree_s(server_pid) if server_pid else 0.0,
            cores=len(rows),
        )

    def others_since(self, before: "MachineClock", client_s: float, *, local: bool) -> MachineLoad:
        """Return what others took since `before`.

        `client_s` is the client's CPU time by its own account: its workers may not have been
        waited for. With a server that was not started here, `local` is false: it may run on this
        machine or not, so only stolen time counts.
        """
        elapsed_s = self.at_s - before.at_s
        own_s = max(self.client_s - before.client_s, client_s) + self.server_s - before.server_s
        others_s = self.busy_s - before.busy_s - own_s if local else 0.0
        stolen_s = self.steal_s - before.steal_s
        usable = min(float(self.cores), _quota_cores())
        # Cores that a quota keeps from this container are others' to use.
        taken = max(0.0, others_s) / elapsed_s - (self.cores - usable)
        return MachineLoad((max(0.0, taken) + max(0.0, stolen_s) / elapsed_s) / usable)


def _core_rows(stat: str) -> list[list[int]]:
    """Return the columns of each core that this process may use."""
    usable = os.sched_getaffinity(0)
    rows = [line.split() for line in stat.splitlines() if line.startswith("cpu")]
    return [
        [int(word) for word in row[1:]] for row in rows if row[0][3:] and int(row[0][3:]) in usable
    ]


def _own_and_ended_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _tree_s(pid: int) -> float:
    """Return the CPU seconds of a process and of its descendants, ended ones included."""
    parents, ticks = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:  # proc_pid_stat(5); a name may hold blanks and brackets
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        own = int(path.parent.name)
        parents[own], ticks[own] = int(fields[1]), sum(int(word) for word in fields[11:15])
    tree, found = {pid}, 0
    while len(tree) > found:
        found = len(tree)
        tree |= {own for own, parent in parents.items() if parent in tree}
    return sum(ticks.get(own, 0) for own in tree) / _TICKS_A_SECOND


def _quota_cores() -> float:
    """Return the cores of this container's CPU quota (cgroup v2); infinite without one."""
    try:
        quota, period = _QUOTA.read_text().split()
        return float(quota) / float(period)
    except (OSError, ValueError):
        return float("inf")
