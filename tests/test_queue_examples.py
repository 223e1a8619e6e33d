"""The examples of ezpq's own descriptions, of 0.1 and of 0.2, run as they are printed there.

Each is a program, whose functions are those of `__main__`. Where a page has lost a line of an
example, such as the one that sleeps, it is put back; the seconds are made shorter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gates import PATIENCE

HERE = Path(__file__).parent
HEAD_1 = """
import random, time
from multiprocessing import Process
from threading import Thread
import ezpq_exec as ezpq

def random_sleep(x, min=0, max=1):
    n = random.randint(min*1000, max*1000) / 100000
    time.sleep(n)
    return 'Job {} slept {} seconds.'.format(x, round(n, 2))

def print_sizes(Q):
    msg = 'Total: {0}; Waiting: {1}; Working: {2}; Completed: {3}'.format(
        Q.size(),
        Q.size(waiting=True),
        Q.size(working=True),
        Q.size(completed=True)
    )
    print(msg)
"""
HEAD_2 = """
import time
import random
import ezpq_exec as ezpq

def random_sleep(x):
    random.seed(x)
    n = random.uniform(0.5, 1.5) / 50
    time.sleep(n)
    return n

def my_pow(x, k):
    return '{}^{} = {}'.format(x, k, x**k)
"""

# Each program ends with a check of its own, in place of what the page shows.
EXAMPLES_1 = {
    "decorator": """
@ezpq.Queue(n_workers=5)
def random_sleep(x, min=0, max=1):
    n = random.randint(min*1000, max*1000) / 100000
    time.sleep(n)
    return 'Job {} slept {} seconds.'.format(x, round(n, 2))

output = random_sleep(items=range(10), min=0, max=2)
assert [job['args'] for job in output] == [[x] for x in range(10)]
assert output[3]['kwargs'] == {'min': 0, 'max': 2}
assert output[3]['output'].startswith('Job 3 slept')
""",
    "data frame": """
import pandas as pd
with ezpq.Queue(2) as Q:
    output = Q.map(random_sleep, range(10))
df = pd.DataFrame(output)
df = df[['name', 'output', 'runtime']].head()
assert list(df['name']) == [1, 2, 3, 4, 5]
""",
    "context manager": """
with ezpq.Queue(n_workers=5) as Q:
    for i in range(10):
        Q.put(random_sleep, args=[0, 2], suppress_errors=True) # x=0, min=2, max=1: no such number
    Q.wait()
    output = Q.collect()
assert [job['exitcode'] for job in output] == [-1] * 10
""",
    "queue": """
Q = ezpq.Queue(job_runner=Process, # either a Process (default) or Thread function.
               n_workers=3,        # the max number of concurrent workers (processes/threads).
               max_size=0,         # the max combined size all items in the queue (0=unlimited).
               auto_remove=False,  # Should completed jobs (and their output) be kept, or discarded?
               auto_start=True,    # Should the queue start processing jobs upon instantiation?
               auto_stop=False,    # Should the queue stop after all submitted jobs are processed?
               callback=None,      # optional (synchronous) function to run after job completion.
               log_file=None,      # optional path of a CSV file used to output logs.
               poll=0.1)           # repetition period, in seconds, for the Queue operations.
Q.put(random_sleep,  # the function to call
      args=[1],      # positional arguments, as a list or tuple.
      kwargs=None,   # kwargs, as a dict.
      name=None,     # optional name. If blank, name is id.
      priority=100,  # optional priority (default=100). Lesser values are higher priority.
      timeout=0)     # optional timeout, in seconds (0=unlimited).
assert Q.wait() == 0
Q.dispose()
""",
    "size": """
with ezpq.Queue() as Q:
    # enqueue jobs
    for x in range(10):
        Q.put(random_sleep, args=[x, 0, 2])

    # repeatedly print sizes until complete.
    while Q.size(waiting=True, working=True) > 0:
        print_sizes(Q)
        time.sleep(0.01)
    print_sizes(Q)
    assert (Q.size(), Q.size(completed=True)) == (10, 10)
""",
    "wait": """
with ezpq.Queue() as Q:
    # enqueue jobs
    for x in range(10):
        Q.put(random_sleep, args=[x, 0, 2])

    # repeatedly wait 1 second for jobs to finish until n_remaining == 0.
    n_remaining = Q.wait(timeout=0.005)
    while n_remaining > 0:
        print('Timeout reached; {0} jobs remain.'.format(n_remaining))
        n_remaining = Q.wait(timeout=0.005)

    print('{0} jobs remain.'.format(n_remaining))
    assert n_remaining == Q.size(waiting=True, working=True) == 0
""",
    "get": """
with ezpq.Queue() as Q:
    # enqueue jobs
    for x in range(10):
        Q.put(random_sleep, args=[x, 0, 2])

    # repeatedly `get()` jobs until Q.size() == 0.
    output = list()

    while Q.size() > 0:
        job = Q.get(timeout=0.005)
        if job is None:
            print('Timeout reached; no output available; {0} jobs remain.'.format(Q.size()))
        else:
            output.append(job)

    print('{0} jobs remain in queue.'.format(Q.size()))
    print('Output list size: {0}'.format(len(output)))
    assert sorted(job['id'] for job in output) == list(range(1, 11))
""",
    "collect": """
with ezpq.Queue(n_workers=5) as Q:
  # enqueue jobs
    for x in range(10):
        Q.put(random_sleep, args=[x, 0, 2])

    # wait and collect all jobs
    print('Queue size before: {0}'.format(Q.size()))
    assert Q.size() == 10

    Q.wait()
    output = Q.collect()

    print('Queue size after: {0}'.format(Q.size()))
    print('Output size: {0}'.format(len(output)))
    assert (Q.size(), len(output)) == (0, 10)
""",
    "dispose, with debugging logs": """
import io, logging
lines = io.StringIO()
logging.basicConfig(level=logging.DEBUG, format='%(levelname)s: %(message)s', stream=lines)

Q = ezpq.Queue() # by default, n_workers = # of cpu cores (mp.cpu_count()).

# enqueue jobs
for x in range(10):
    Q.put(random_sleep, args=[x, 0, 2])

# wait and dispose
Q.wait()
Q.dispose()
import multiprocessing
text = lines.getvalue()
for line in ('Initialized queue with {} workers.'.format(multiprocessing.cpu_count()),
             'Initialized pulse.', "Started job '1'", "Queued job: '4'", "Completed job: '10'",
             'Removed jobs.', 'Removed output.', 'Removed completed.', 'Reset counters.',
             'Stopped pulse.'):
    assert 'DEBUG: {}\\n'.format(line) in text, line
""",
    "priority": """
with ezpq.Queue() as Q:
    # enqueue with priority
    for x in range(100):
        Q.put(random_sleep, args=[x, 0, 2],
            priority=int((x+1) % 5 != 0)) # 0 is higher priority than 1.

    # wait and collect
    Q.wait()
    output = Q.collect()

assert [job['priority'] for job in output] == [0] * 20 + [1] * 80
plt = ezpq.Plot(output, color_by='priority',
                title='Lower priority value takes precedence.').build()
""",
    "plot": """
with ezpq.Queue(n_workers=10) as Q:
    output = Q.map(random_sleep, range(10))
plt = ezpq.Plot(output).build()
""",
}
EXAMPLES_2 = {
    "map": """
start = time.time()
with ezpq.Queue(6) as Q:
  output = Q.map(random_sleep, range(60))
end = time.time()
print('> Runtime: ' + str(end - start))
assert [job['args'] for job in output] == [[x] for x in range(60)]
""",
    "decorator": """
@ezpq.Queue(6)
def random_sleep(x):
    random.seed(x)
    n = random.uniform(0.5, 1.5) / 50
    time.sleep(n)
    return n
output = random_sleep(iterable=range(60))
assert len(output) == 60
""",
    "essentials": """
with ezpq.Queue(6) as Q:
    for x in range(60):
        Q.put(random_sleep, args=x)
    Q.wait()
    output = Q.collect()

print( output[0] )
assert output[0]['args'] == [0] and output[0]['kwargs'] is None and output[0]['name'] == 1

import pandas as pd
df = pd.DataFrame(output)
print( df.head()[['id', 'output', 'runtime', 'exitcode']] )

plt = ezpq.Plot(output).build(show_legend=False)
""",
    "job": """
with ezpq.Queue(6) as Q:
  for x in range(60):
    priority = x % 2 # give even numbers higher priority.
    job = ezpq.Job(random_sleep, args=x, priority=priority)
    Q.submit(job)
  Q.wait()
  output = Q.collect()
assert [job['priority'] for job in output] == [0] * 30 + [1] * 30
""",
    "get": """
with ezpq.Queue(6) as Q:
    n_inputs = 60
    output = [None] * n_inputs
    # enqueue jobs
    for x in range(n_inputs):
        Q.put(random_sleep, args=x)

    # repeatedly `get()` until queue is empty.
    for i in range(n_inputs):
        output[i] = Q.get(wait=True)
assert sorted(job['id'] for job in output) == list(range(1, 61))
""",
    "starmap": """
# list of lists to iterate over.
args_list = [[x, x%4] # (x, k)
            for x in range(100)]
# starmap
with ezpq.Queue(10) as Q:
    output = Q.starmap(my_pow, iterable=args_list)

assert [x['output'] for x in output[:3]] == ['0^0 = 1', '1^1 = 1', '2^2 = 4']
""",
    "starmapkw": """
# list of dicts to iterate over.
kwargs_list = [{ 'x':x, 'k':x%4 } # (x, k)
                for x in range(100)]
# starmapkw
with ezpq.Queue(10) as Q:
    output = Q.starmapkw(my_pow, iterable=kwargs_list)

assert [x['output'] for x in output[:3]] == ['0^0 = 1', '1^1 = 1', '2^2 = 4']
""",
    "lane errors": """
def reciprocal(x):
    time.sleep(0.001) # slow things down
    return 1/x        # will throw DivideByZero exception

with ezpq.Queue(6) as Q:
    for i in range(100):
        Q.put(reciprocal, random.randint(0, 10), lane=i%5, suppress_errors=True, stop_on_lane_error=True)
    Q.wait()
    output = Q.collect()
for job in output:
    assert (job['exitcode'] == -1) == (job['exception'] is not None)
plt = ezpq.Plot(output).build(facet_by='lane', color_by='exitcode', color_pal=['red', 'blue'])
""",
}


def run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(HERE.parent), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def _needs_packages(program: str) -> None:
    if "pandas" in program or "Plot" in program:
        pytest.importorskip("pandas")
    if "Plot" in program:
        pytest.importorskip("plotnine")


@pytest.mark.parametrize("name", EXAMPLES_1)
def test_example_of_0_1(name: str) -> None:
    _needs_packages(EXAMPLES_1[name])
    run(HEAD_1 + EXAMPLES_1[name])


@pytest.mark.parametrize("name", EXAMPLES_2)
def test_example_of_0_2(name: str) -> None:
    _needs_packages(EXAMPLES_2[name])
    run(HEAD_2 + EXAMPLES_2[name])
