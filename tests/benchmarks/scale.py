"""Where one scheduler ends: 10,000 slots and 10 million jobs, on an engine that takes no time.

    python tests/benchmarks/scale.py [--jobs N] [--slots N] [--waiting N] [--lanes N] [--seed N]

The scheduler is the real one. The engine is a heap of when jobs end; from one end to the next the
clock is moved forward, so the simulation's time has nothing to do with the machine's. `--waiting`
jobs are submitted before the first begins, and each end brings another until all have been. Half of
them are in lanes, drawn at random; a tenth have a timeout, by which those that are long are killed.

Printed are decisions (events heard) and jobs a second of CPU time, bytes a waiting job, how
busy the slots were, and how long jobs waited: in lanes, without, and in that lane which fared worst.
It fails if a job does not end, a slot has two jobs, a lane has two jobs at work, or a slot is idle
while jobs without a lane wait.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import os
import random
import statistics
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, fields

from ezpq_exec.commands import Command, Kill, Look, Run, Start
from ezpq_exec.jobs import Call, Job, Outcome, Verdict
from ezpq_exec.lanetable import LaneTable
from ezpq_exec.options import Options
from ezpq_exec.reports import Loss
from ezpq_exec.scheduler import Scheduler

LENGTH = 10.0  # seconds, the mean of jobs in the simulation
TIMEOUT = 30.0  # seconds
CALL = Call(len, ("",), {})


@dataclass(frozen=True)
class Plan:
    """What is simulated."""

    jobs: int = 10_000_000
    slots: int = 10_000
    waiting: int = 1_000_000
    lanes: int = 50_000
    seed: int = 1


class Tally:
    """How long jobs waited, in the simulation's seconds: their number, and the sum."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """One more has waited."""
        self.count += 1
        self.total += seconds

    @property
    def mean(self) -> float:
        """Of one job."""
        return self.total / self.count if self.count else 0.0


class Simulation:
    """A scheduler, and what obeys it without taking any time."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.draw = random.Random(plan.seed)
        self.scheduler = Scheduler(plan.slots, can_kill=True)
        self.table = LaneTable()
        timeouts = (None,) * 9 + (TIMEOUT,)
        self.terms = [
            Options(priority=rank, timeout=limit) for rank in range(10) for limit in timeouts
        ]
        self.now = 0.0
        self.submitted = self.events = self.killed = 0
        self.free_waiting = 0  # jobs without a lane that wait
        self.ends: list[tuple[float, int, int]] = []  # (when, number, slot)
        self.at_work: dict[int, tuple[Job, object, float]] = {}  # by slot: job, lane's key, began
        self.lanes_at_work: set[object] = set()
        self.slot_seconds = 0.0
        self.free_waits = Tally()
        self.lane_waits: dict[object, Tally] = {lane: Tally() for lane in range(plan.lanes)}

    def submit(self) -> None:
        """Submit a job, unless all have been."""
        if self.submitted == self.plan.jobs:
            return
        self.submitted += 1
        job = Job(self.submitted, CALL, self.draw.choice(self.terms), b"", self.now)
        if self.plan.lanes and self.draw.random() < 0.5:
            job.lane = self.table.lane(self.draw.randrange(self.plan.lanes))
        else:
            self.free_waiting += 1
        self.hear(self.scheduler.submitted(job, self.now))

    def run(self) -> None:
        """From the first job's beginning to the last one's end."""
        self.hear(self.scheduler.resume(self.now))
        while self.ends:
            deadline = self.scheduler.next_deadline()
            if deadline is not None and deadline <= self.ends[0][0]:
                self.now = deadline
                self.hear(self.scheduler.tick(self.now))
                continue
            self.now, number, slot = heapq.heappop(self.ends)
            job, _, began = self.at_work.get(slot, (None, None, 0.0))
            if job is None or job.number != number:
                continue  # it was killed meanwhile
            self.leave(slot)
            outcome = Outcome(Verdict.RETURNED, None, started=began, ended=self.now)
            self.hear(self.scheduler.finished(slot, number, outcome, True, self.now))
            self.submit()
            idle = self.plan.slots - len(self.at_work)
            assert not (idle and self.free_waiting), "a slot is idle while jobs wait"

    def hear(self, commands: Iterable[Command]) -> None:
        """Obey what an event has led to, and all that follows."""
        self.events += 1
        left = deque(commands)
        while left:
            left += self.obey(left.popleft())

    def obey(self, command: Command) -> list[Command]:
        """Obey one command."""
        scheduler = self.scheduler
        if type(command) is Run:
            self.begin(command.slot, command.job)
            return []
        if type(command) is Start:
            self.events += 1
            return scheduler.ready(command.slot, command.slot, self.now)
        if type(command) is Look:
            self.events += 1
            began = self.at_work[command.slot][2]
            return scheduler.started(command.slot, command.job, began, self.now)
        if type(command) is Kill:
            self.events += 2
            self.killed += 1
            loss = Loss(self.leave(command.slot), self.now, reason=command.reason)
            commands = scheduler.lost(command.slot, loss, self.now)
            commands += scheduler.ready(command.slot, command.slot, self.now)
            self.submit()
            return commands
        return []

    def begin(self, slot: int, job: Job) -> None:
        """A job begins in a slot, which must be free, as must be its lane."""
        assert slot not in self.at_work, "a slot has two jobs"
        key = None
        waited = self.now - job.submitted
        if job.lane is None:
            self.free_waiting -= 1
            self.free_waits.add(waited)
        else:
            key = job.lane.key
            assert key not in self.lanes_at_work, "a lane has two jobs at work"
            self.lanes_at_work.add(key)
            self.lane_waits[key].add(waited)
        self.at_work[slot] = (job, key, self.now)
        ends = self.now + self.draw.expovariate(1 / LENGTH)
        heapq.heappush(self.ends, (ends, job.number, slot))

    def leave(self, slot: int) -> float:
        """A job leaves its slot; when it began."""
        _, key, began = self.at_work.pop(slot)
        self.lanes_at_work.discard(key)
        self.slot_seconds += self.now - began
        return began


def resident() -> int:
    """Bytes of this process's memory that are in use (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def simulate(plan: Plan) -> dict[str, float]:
    """Carry it out, and return what was found, by name."""
    simulation = Simulation(plan)
    simulation.hear(simulation.scheduler.pause(0.0))
    gc.collect()
    before, began = resident(), time.process_time()
    for _ in range(min(plan.waiting, plan.jobs)):
        simulation.submit()
    filed, grown = time.process_time(), resident() - before
    filing_events = simulation.events
    simulation.run()
    ended = time.process_time()
    settled = sum(simulation.scheduler.settled.values())
    assert settled == plan.jobs == simulation.submitted, f"{plan.jobs - settled} jobs did not end"
    assert len(simulation.table) == 0, "lanes are left"
    lanes = sorted(tally.mean for tally in simulation.lane_waits.values() if tally.count)
    return {
        "decisions a second, filing": filing_events / (filed - began),
        "decisions a second, running": (simulation.events - filing_events) / (ended - filed),
        "jobs a second, all in all": plan.jobs / (ended - began),
        "bytes a waiting job": grown / min(plan.waiting, plan.jobs),
        "killed": simulation.killed,
        "simulated seconds": simulation.now,
        "slots busy": simulation.slot_seconds / (simulation.now * plan.slots),
        "mean wait without lane": simulation.free_waits.mean,
        "mean wait in lanes": statistics.fmean(lanes) if lanes else 0.0,
        "worst lane's mean wait": lanes[-1] if lanes else 0.0,
        "best lane's mean wait": lanes[0] if lanes else 0.0,
    }


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    for each in fields(Plan):
        parser.add_argument(f"--{each.name}", type=int, default=each.default)
    plan = Plan(**vars(parser.parse_args()))
    print(plan)
    for name, value in simulate(plan).items():
        print(f"{name:28}{value:16,.3f}")


if __name__ == "__main__":
    main()
