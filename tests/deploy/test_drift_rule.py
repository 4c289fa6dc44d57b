"""The rule that adds up the bets of replicas, run by promtool on simulated ones."""

import numpy as np
import pytest
import yaml

from tests.support.prometheus import RULES, promtool
from tests.support.replicas import ALARM, MOST, Replicas, Together, requests_of

RECORD = "job:sizewise_escalation_evidence:cusum"
WHERE = 'namespace="shop",job="sizewise"'
MINUTES = 90
# Sums of such fractions are exact in any order.
EXACT = 2**10


def simulated(usual, moved, minutes=MINUTES):
    """Pages by minute: three replicas, one of which starts again now and then."""
    traffic, replicas = np.random.default_rng(1), Replicas(3, 0.25, 0.3)
    for minute in range(minutes):
        if minute % 20 == 19:
            replicas.replace()
        share = usual if minute < minutes // 2 else moved
        replicas.answer(*requests_of(traffic, 40, share))
        yield {
            replica: {bet: round(EXACT * capital) / EXACT for bet, capital in page.items()}
            for replica, page in replicas.pages().items()
        }


def series_of(pages):
    """The pages as promtool's input: a replica that has left is stale."""
    for replica in sorted({replica for page in pages for replica in page}):
        shown = [page.get(replica) for page in pages]
        there = [minute for minute, page in enumerate(shown) if page]
        for bet in shown[there[0]]:
            side, stake = bet
            values = [
                str(page[bet]) if page else "stale" if minute == there[-1] + 1 else "_"
                for minute, page in enumerate(shown)
            ]
            yield {
                "series": f'sizewise_escalation_log_capital{{{WHERE},pod="p{replica % 3}",'
                f'model="tone",cascade="c1",since="{replica}",side="{side}",stake="{stake}"}}',
                "values": " ".join(values),
            }


def counted(name, each_minute):
    """A counter that rises by so much each minute, as promtool's input."""
    values = f"0+{each_minute}x{MINUTES}"
    return {"series": f'{name}{{{WHERE},model="tone"}}', "values": values}


def ran(folder, series, checks, interval="1m"):
    """The finished promtool over one test of the rules."""
    test = {
        "interval": interval,
        "input_series": [
            *series,
            counted("sizewise_cascade_texts_total", 100),
            counted("sizewise_escalated_texts_total", 40),
        ],
        "promql_expr_test": checks,
    }  # fmt: skip
    path = folder / "test.yaml"
    path.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]})
    )
    return promtool("test", "rules", path)


def firing(minute, fires):
    """A check that the alert fires at a minute, or that it does not."""
    return {
        "expr": 'count(ALERTS{alertname="SizewiseEscalationDrift",alertstate="firing"})',
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
    }


@pytest.mark.parametrize("moved", [0.27, 0.4, 0.15])
def test_the_rule_adds_up_what_replicas_that_come_and_go_have_won(tmp_path, moved):
    pages, together, checks = list(simulated(0.27, moved)), Together(), []
    for minute, page in enumerate(pages):
        together.add(page)
        if minute % 7 == 6:
            checks.append(
                {
                    "expr": RECORD,
                    "eval_time": f"{minute}m",
                    "exp_samples": [
                        {
                            "labels": f'{RECORD}{{{WHERE},model="tone",cascade="c1",'
                            f'side="{side}",stake="{stake}"}}',
                            "value": value,
                        }
                        for (side, stake), value in together.evidence.items()
                    ],
                }
            )
    drifted = moved != 0.27

    done = ran(tmp_path, series_of(pages), [*checks, firing(MINUTES - 1, drifted)])

    assert done.returncode == 0, done.stdout + done.stderr
    assert (together.most >= ALARM) == drifted
    assert together.most <= MOST


def bet(pod, since, values, cascade="c1"):
    return {
        "series": f'sizewise_escalation_log_capital{{{WHERE},pod="{pod}",model="tone",'
        f'cascade="{cascade}",since="{since}",side="higher",stake="1"}}',
        "values": values,
    }


CASES = {
    "ten that each win a tenth": ([bet(f"p{n}", "1", "0+0.1x89") for n in range(10)], True),
    "one that wins a tenth": ([bet("p1", "1", "0+0.1x89")], False),
    "one that restarts after it has lost much": (
        [bet("p1", "1", "-1-1x59 stale"), bet("p1", "2", "_x60 0+0.1x29")],
        False,
    ),
    "nine that leave after they have lost much": (
        [bet("p0", "1", "0+0.1x89"), *(bet(f"p{n}", "1", "0-9x59 stale") for n in range(1, 10))],
        False,
    ),
    "one that joins with much won, as a scrape finds it": (
        [bet("p0", "1", "0+0.01x89"), bet("p1", "1", "_x60 50+0.01x29")],
        False,
    ),
    "another cascade, which starts with nothing": (
        [bet("p1", "1", "0+0.3x55 stale"), bet("p1", "2", "_x56 0+0.1x33", cascade="c2")],
        False,
    ),
}


@pytest.mark.parametrize(("series", "alarm"), CASES.values(), ids=CASES)
def test_only_what_the_running_replicas_have_won_together_is_an_alarm(tmp_path, series, alarm):
    done = ran(tmp_path, series, [firing(MINUTES - 1, alarm)])

    assert done.returncode == 0, done.stdout + done.stderr


def late(offset, values):
    """One bet that is scraped each minute, `offset` quarters of a minute after the evaluation."""
    shown = " ".join(" ".join(["_"] * offset + [str(v)] + ["_"] * (3 - offset)) for v in values)
    return [bet("p1", "1", shown)]


GAP = [
    *(str(minute / 2) for minute in range(10)),
    *["_"] * 12,
    *(str(50 + m / 2) for m in range(8)),
]
SCRAPES = {
    "scraped 45 s after each evaluation": (late(3, [m / 2 for m in range(20)]), "15s", 19, 9),
    "not scraped for twelve minutes, it starts from nothing": (
        [bet("p1", "1", " ".join(GAP))],
        "1m",
        29,
        3.5,
    ),
}


@pytest.mark.parametrize(("series", "interval", "minute", "value"), SCRAPES.values(), ids=SCRAPES)
def test_scrapes_that_come_late_or_not_at_all_lend_no_evidence(
    tmp_path, series, interval, minute, value
):
    check = {
        "expr": f"sum({RECORD})",
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": "{}", "value": value}],
    }

    done = ran(tmp_path, series, [check], interval)

    assert done.returncode == 0, done.stdout + done.stderr
