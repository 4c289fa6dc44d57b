"""Simulated servers with one queue, and what a load test measures of them."""

import numpy as np

from loadtest.samples import SERVER_STEPS, ClientLoad, MachineLoad, Phase, Samples

IDLE = ClientLoad(loop_lag_p99_s=0.0, cpu_share=0.1)


def phase(rate_rps, *, number=0, measured_s=6.0, warmup_s=1.5, kind="open"):
    return Phase(
        model="tone", variant="small", load=f"{kind}-{rate_rps:g}", round=number, kind=kind,
        users=1, arrivals="poisson", rate_rps=rate_rps, trace=None, texts_per_request=1,
        deadline_ms=None, warmup_s=warmup_s, measured_s=measured_s, seed=number,
    )  # fmt: skip


def arrivals_s(random, of):
    """Poisson arrivals over a phase."""
    return np.sort(random.uniform(0.0, of.total_s, random.poisson(of.rate_rps * of.total_s)))


def departures_s(due_s, services_s):
    """When each request leaves a server that takes one at a time, in order."""
    busy_s = np.cumsum(services_s)
    return busy_s + np.maximum.accumulate(due_s - busy_s + services_s)


def samples(of, due_s, end_s, *, status=None, client=IDLE, machine=None, processes=1):
    """The raw times of requests that were sent when they were due."""
    return Samples(
        phase=of,
        client=client,
        intended_s=due_s,
        start_s=due_s.copy(),
        end_s=end_s,
        status=np.full(due_s.size, 200, np.int16) if status is None else status,
        server_ms={step: np.full(due_s.size, 1.0) for step in SERVER_STEPS},
        degraded=np.full(due_s.size, None),
        machine=machine or MachineLoad(),
        processes=processes,
    )


def served(random, of, capacity_rps):
    """A phase on an M/M/1 server."""
    due_s = arrivals_s(random, of)
    services_s = random.exponential(1.0 / capacity_rps, due_s.size)
    return samples(of, due_s, departures_s(due_s, services_s))


def served_with_a_bound(random, of, capacity_rps, places):
    """A phase on a server that refuses at once whatever finds all its places taken."""
    due_s = arrivals_s(random, of)
    services_s = random.exponential(1.0 / capacity_rps, due_s.size)
    end_s, status = due_s.copy(), np.full(due_s.size, 429, np.int16)
    leaving: list[float] = []
    for number, at_s in enumerate(due_s):
        leaving = [left_s for left_s in leaving if left_s > at_s]
        if len(leaving) < places:
            end_s[number] = max([at_s, *leaving[-1:]]) + services_s[number]
            status[number] = 200
            leaving.append(end_s[number])
    return samples(of, due_s, end_s, status=status)


def served_with_a_stall(random, of, capacity_rps, stall_s):
    """A phase on a server that stops once, for so long, in the second half."""
    due_s = arrivals_s(random, of)
    services_s = random.exponential(1.0 / capacity_rps, due_s.size)
    began_s = random.uniform(of.total_s / 2.0, of.total_s - 1.0)
    first = int(np.searchsorted(due_s, began_s))
    services_s[min(first, due_s.size - 1)] += stall_s
    return samples(of, due_s, departures_s(due_s, services_s))


def stationary_sojourns(random, rounds, requests, load):
    """Sojourn times in a stationary M/M/1 queue of service rate 1, shape (rounds, requests)."""
    shape = rounds, requests
    gaps, services = random.exponential(1.0 / load, shape), random.exponential(1.0, shape)
    busy = random.random((rounds, 1)) < load
    first = random.exponential(1.0 / (1.0 - load), (rounds, 1)) * busy
    steps = np.concatenate([first, services[:, :-1] - gaps[:, 1:]], axis=1)
    level = np.cumsum(steps, axis=1)
    return level - np.minimum(0.0, np.minimum.accumulate(level, axis=1)) + services
