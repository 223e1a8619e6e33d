"""Run a random mix of jobs, good and bad, and check that each ends as it must and nothing is left.

    python tests/soak/soak.py [--seconds N | --jobs N] [--seed S]

For CI: `--seconds 120`. By hand: `--seconds 3600`. It exits with 1 when a figure is off, and with 2,
after all stacks and states, when nothing has ended for 20 seconds.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import random
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

import psutil  # noqa: E402
import work  # noqa: E402
from jobs import MEBIBYTE, draw  # noqa: E402
from ledger import Ledger  # noqa: E402

from conftest import Census, eventually  # noqa: E402
from ezpq_exec import PriorityExecutor  # noqa: E402

SEGMENTS = "/dev/shm"  # noqa: S108  it is only listed
SUBMITTERS = 4
IN_FLIGHT = 16  # jobs of one submitting thread that are not done
STALL = 20  # seconds without the end of any job, of those in which this process could run
SLACK = 32 * MEBIBYTE  # that the allocator may keep, and the ledger of the soak itself


class Soak:
    """One run: its executor, its threads and its books."""

    def __init__(self, folder: Path, seed: int, seconds: float, jobs: int | None) -> None:
        self.folder = folder
        self.seed = seed
        self.until = time.monotonic() + seconds
        self.each = None if jobs is None else -(-jobs // SUBMITTERS)
        self.ledger = Ledger(folder)
        self.over = threading.Event()
        self.executor = PriorityExecutor(3)
        os.mkfifo(folder / "news")
        self.news = os.open(folder / "news", os.O_RDWR)

    def submit_many(self, who: int) -> None:
        """One submitting thread: waits for every job if its number is even."""
        dice = random.Random(f"{self.seed}/{who}")
        room = threading.Semaphore(IN_FLIGHT)
        count = 0
        while count < self.each if self.each is not None else time.monotonic() < self.until:
            room.acquire()
            self.submit_one(dice, count * SUBMITTERS + who, room, direct=who % 2 == 0)
            count += 1

    def submit_one(
        self, dice: random.Random, number: int, room: threading.Semaphore, direct: bool
    ) -> None:
        draft, ledger = draw(dice, number), self.ledger
        ledger.enter(number, draft)
        executor = self.executor.options(**draft.options)

        def done(future: Future[object]) -> None:
            error = CancelledError() if future.cancelled() else future.exception()
            ledger.close(number, None if error else future.result(), error)
            room.release()

        try:
            future = executor.submit(draft.function, str(self.folder), number, *draft.extra)
        except TypeError as error:
            ledger.close(number, None, error)
            room.release()
            return
        ledger.submitted(number, future)
        early = dice.random() < 0.5
        if early:
            future.add_done_callback(done)
        if draft.kind == "cancelled" and dice.random() < 0.8:
            future.cancel()
        if draft.kind == "moved":
            future.reprioritize(dice.randrange(200))
        if direct:
            patience = dice.choice([None, 0.0, 0.0005, 0.01])
            try:
                future.exception(patience)
            except BaseException:  # noqa: S110 - what it is, is checked by the callback
                pass
        if not early:
            future.add_done_callback(done)

    def kill_announced(self) -> None:
        """Kill each job that says that it runs."""
        while True:
            (number,) = struct.unpack("=q", os.read(self.news, 8))
            if number < 0:
                return
            while (entry := self.ledger.open.get(number)) and entry[1] is None:
                time.sleep(0)  # its submitter has it in a moment
            if entry and not entry[1].kill():
                self.ledger.complaints.append(f"{number}: kill() said False of {entry[1].info}")

    def resize_often(self) -> None:
        dice = random.Random(f"{self.seed}/resize")
        while not self.over.wait(dice.uniform(0.05, 1.0)):
            self.executor.resize(dice.randint(1, 6))

    def watch(self) -> None:
        last, quiet = self.ledger.last, 0
        while not self.over.wait(1.0):  # which is longer on a machine that has no time for this
            last, quiet = self.ledger.last, quiet + 1 if self.ledger.last == last else 0
            if quiet > STALL:
                print(
                    "STALL",
                    self.executor.stats(),
                    *self.ledger.complaints[:40],
                    sep="\n",
                    flush=True,
                )
                for number, (draft, future) in list(self.ledger.open.items()):
                    print(number, draft.kind, draft.options, future, flush=True)
                faulthandler.dump_traceback(all_threads=True)
                os._exit(2)

    def run(self) -> None:
        others = [self.kill_announced, self.resize_often, self.watch]
        helpers = [threading.Thread(target=each) for each in others]
        targets: list[Callable[[int], None]] = [self.submit_many] * SUBMITTERS
        threads = [threading.Thread(target=t, args=(n,)) for n, t in enumerate(targets)]
        for thread in helpers + threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.executor.shutdown()
        self.over.set()
        os.write(self.news, struct.pack("=q", -1))
        for thread in helpers:
            thread.join()
        os.close(self.news)


def warm_up(folder: Path) -> None:
    """Have all there that a program keeps for good."""
    (folder / "ledger").touch()
    with PriorityExecutor(2) as executor:
        payload = bytes(64 * MEBIBYTE)
        executor.submit(work.echoes, str(folder), 0, payload).result()


def is_ours(segment: str) -> bool:
    """Whether we may have made it: other programs' semaphores have their process ids in their names."""
    return not segment.startswith(("sem.mp-", "sem.loky-")) or f"-{os.getpid()}-" in segment


def _with_plain_malloc() -> None:
    """Begin anew with a malloc that gives back what is freed, so that what is left is a leak.

    glibc's keeps a heap for each of many threads, and after large blocks were freed puts the next
    ones there: that grows for a long time, and is nobody's.
    """
    plain = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072"}
    if not plain.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **plain})  # noqa: S606 - this program itself


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    given = parser.parse_args()
    _with_plain_malloc()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        os.mkdir(f"{place}/warm")
        warm_up(Path(place, "warm"))
        gc.collect()
        census, segments = Census(), set(os.listdir(SEGMENTS))
        memory = psutil.Process().memory_info().rss
        began = time.monotonic()
        soak = Soak(Path(place), given.seed, given.seconds, given.jobs)
        soak.run()
        took = time.monotonic() - began
        wrong = soak.ledger.audit()
        settled, kinds = soak.ledger.settled, dict(soak.ledger.kinds)
        del soak
        gc.collect()
        if not eventually(census.is_alone):
            wrong.append(f"left behind: {census.newcomers()}")
        left = {name for name in set(os.listdir(SEGMENTS)) - segments if is_ours(name)}
        if left:
            wrong.append(f"segments left behind: {left}")
        grown = psutil.Process().memory_info().rss - memory
        if grown > SLACK:
            wrong.append(f"memory grew by {grown >> 20} MiB, more than {SLACK >> 20}")
    print(f"{settled} jobs in {took:.1f} s, memory +{grown >> 20} MiB\n{kinds}")
    print(*wrong[:40], sep="\n")
    print(f"{len(wrong)} things are off")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
