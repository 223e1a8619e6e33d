"""Move a scheduler at random, against facts that share no code with it; no process and no clock.

    python tests/soak/model.py [--seconds N | --steps N] [--seed S] [--episode K]

It runs one episode after another: an executor's life, from the first job until all is closed. Each is
made from the seed and its own number alone, so one that fails is run again by `--episode`. A step is
an event that the scheduler hears. It obeys as the loop does: first all events of a turn are heard,
then all orders are obeyed, while workers go on by themselves.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from facts import Fact, must  # noqa: E402
from workers import Workers  # noqa: E402

from ezpq_exec.jobs import Call, Job, Outcome  # noqa: E402
from ezpq_exec.lanes import Lane  # noqa: E402
from ezpq_exec.options import Options  # noqa: E402

ENGINES = ((True, 1.0, True), (True, 0.0, False), (False, 0.0, False))  # kills, grace, queues
TURNS = 60  # of an episode, before it is let run to its end


class Episode(Workers):
    """One executor's life, as its callers have it."""

    def __init__(self, name: str) -> None:
        dice = random.Random(name)
        super().__init__(dice, *dice.choice(ENGINES))
        self.lanes: dict[str, Lane] = {}
        self.unheard: list[Fact] = []

    # The callers' part ------------------------------------------------------------------------

    def letter(self) -> Callable[[], object]:
        """Something that a caller wants."""
        wishes: list[tuple[float, Callable[[], object]]] = [
            (10, self.submit),
            (2, self.cancel),
            (1, lambda: self.kill(self.dice.choice(self.facts.jobs))),
            (1, self.reprioritize),
            (0.5, lambda: self.paused(self.chance(0.4))),
            (0.7, lambda: self.resized(self.dice.randint(1, 5))),
            (0.1, lambda: self.close(self.chance(0.5))),
            (0.05, self.abort),
        ]
        wish = self.dice.choices([w for _, w in wishes], [weight for weight, _ in wishes])[0]
        return lambda: self.grant(wish)

    def grant(self, wish: Callable[[], object]) -> None:
        if wish == self.submit:
            if not self.facts.closing:
                self.submit()
            return
        self.recall_all()
        if self.facts.jobs:
            wish()

    def submit(self) -> None:
        fact = self.draw()
        if self.chance(0.03):
            self.recall_all()
            self.rejected(fact)
            return
        if not self.scheduler.may_stand_behind(fact.job):
            self.recall_all()
        self.submitted(fact)

    def draw(self) -> Fact:
        """A job on random terms."""
        dice = self.dice
        plain = dice.random() < 0.5
        name = None if plain else dice.choice((None, None, "a", "b"))
        timeout = None if plain else dice.choice((None, dice.uniform(0.1, 4.0)))
        wait = None if plain else dice.choice((None, None, dice.uniform(0.1, 8.0)))
        retries = 0 if plain else dice.choice((0, 0, 1, 3))
        options = Options(
            priority=dice.choice((0, 1, 1, 2, 0.5, float("inf"))),
            timeout=timeout,
            queue_timeout=wait,
            lane=name,
            stop_on_lane_error=name is not None and dice.random() < 0.5,
            retries=retries,
            retry_on=(ValueError,) if dice.random() < 0.5 else (),
        )
        job = Job(len(self.facts.jobs), Call(int, (), {}), options, b"", self.now)
        if name is not None:
            if name not in self.facts.lanes:  # all that were in it are gone
                self.lanes[name] = Lane(name)
            job.lane = self.lanes[name]
        limit = None if wait is None else self.now + wait
        picky = bool(options.retry_on)
        stops = options.stop_on_lane_error
        return Fact(job, name, stops, retries, picky, timeout, limit, options.priority)

    def cancel(self) -> None:
        """A future is cancelled, which the scheduler hears now or later."""
        open_ones = [f for f in self.facts.that("waits") if not (f.announced or f.cancelled)]
        if open_ones:
            fact = self.dice.choice(open_ones)
            fact.cancelled = True
            if self.chance(0.5):
                self.cancelled(fact)
            else:
                self.unheard.append(fact)

    def hear(self, fact: Fact) -> None:
        self.recall_all()
        if fact.where == "waits":
            self.cancelled(fact)

    def reprioritize(self) -> None:
        self.reprioritized(self.dice.choice(self.facts.jobs), self.dice.choice((0, 1, 2, 3)))

    # From beginning to end --------------------------------------------------------------------

    def live(self) -> Counter[str]:
        """Live it; how the jobs ended."""
        for _ in range(TURNS):
            if self.facts.closed:
                break
            self.step([self.letter() for _ in range(self.dice.choice((0, 0, 1, 1, 2, 5)))])
        self.fragile = 0.0
        if not self.facts.closed:
            self.turn([self.end_of_all])
        for _ in range(40 * len(self.facts.jobs) + 40):
            if self.facts.closed and not self.unheard:
                break
            self.step([])
        must(self.facts.closed, "never closed")
        must(not self.facts.that("waits", "ahead", "runs", "undecided"), "lost")
        must(not self.scheduler.unresolved(), "unresolved")
        return Counter(verdict.value for verdict in self.facts.counts.elements())

    def end_of_all(self) -> None:
        self.recall_all()
        self.close(cancel=False)

    def step(self, letters: list[Callable[[], Any]]) -> None:
        self.pass_time(self.dice.choice((0.0, 0.0, 0.001, 0.01, self.dice.uniform(0, 3.0))))
        for worker in list(self.workers.values()):
            for _ in range(self.dice.choice((0, 1, 2, 4))):
                self.work(worker)
        if self.unheard and self.chance(0.3):
            fact = self.unheard.pop()
            letters.append(lambda: self.hear(fact))
        if self.unpacking and self.chance(0.5):
            fact, outcome = self.unpacking.pop()
            outcome.packed = False
            letters.append(lambda: self.unpack(fact, outcome))
        self.turn(letters)

    def unpack(self, fact: Fact, outcome: Outcome) -> None:
        self.recall_all()
        self.unpacked(fact, outcome)


def run(seed: str, seconds: float, steps: int | None) -> tuple[int, int, Counter[str]]:
    """Episodes until it is enough: how many, steps, and verdicts."""
    until = time.monotonic() + seconds
    episodes = done = 0
    verdicts: Counter[str] = Counter()
    while done < steps if steps is not None else time.monotonic() < until:
        episode = Episode(f"{seed}/{episodes}")
        try:
            verdicts += episode.live()
        except BaseException:
            print(f"seed {seed}, episode {episodes} fails", flush=True)
            raise
        done += episode.count
        episodes += 1
    return episodes, done, verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10**9)))
    parser.add_argument("--episode", type=int)
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    if given.episode is not None:
        print(Episode(f"{given.seed}/{given.episode}").live())
        return 0
    began = time.monotonic()
    episodes, steps, verdicts = run(given.seed, given.seconds, given.steps)
    took = time.monotonic() - began
    print(f"{steps} steps, {episodes} episodes in {took:.1f} s: {dict(verdicts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
