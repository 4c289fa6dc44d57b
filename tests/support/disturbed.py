"""Reports of a load test on a machine that other programs shared."""

from dataclasses import asdict

from loadtest.analysis.capacity import capacity, load_points
from loadtest.analysis.summary import combine
from loadtest.analysis.validity import validity
from loadtest.samples import MachineLoad
from tests.support.queues import arrivals_s, departures_s, phase, samples
from tests.support.reports import report

SHARES = (0.2, 0.4, 0.6)
ROUNDS = 3
CAPACITY_RPS = 500.0


def disturbed_report(random, is_disturbed, slo_ms=50.0):
    """A report of variants whose phases were disturbed where `is_disturbed(name, share, round)`.

    Each is an M/M/1 server, three times as slow while others take 40 % of the cores.
    """
    told = report() | {"url": None, "reference_load": "open-40%", "findings": []}
    told["scenario"]["slo_p99_ms"] = slo_ms
    for variant in told["variants"]:
        variant["loads"] = {
            f"open-{share:.0%}": combine(
                [_phase(random, variant["variant"], share, number, is_disturbed)
                 for number in range(ROUNDS)],
                slo_ms,
            ).as_json() | {"on_curve": True}
            for share in SHARES
        }  # fmt: skip
        within = capacity(load_points(variant["loads"].values()), slo_ms)
        variant["within_slo"] = within and {
            "rate_rps": within.rate_rps,
            "measured_out": within.measured_out,
        }
    phases = ROUNDS * len(SHARES) * len(told["variants"])
    told["validity"] = asdict(validity(told["variants"], phases))
    return told


def _phase(random, name, share, number, is_disturbed):
    of = phase(share * CAPACITY_RPS, number=number)
    others = is_disturbed(name, share, number)
    due_s = arrivals_s(random, of)
    services_s = random.exponential((3.0 if others else 1.0) / CAPACITY_RPS, due_s.size)
    machine = MachineLoad(0.4 if others else 0.01)
    return samples(of, due_s, departures_s(due_s, services_s), machine=machine)
