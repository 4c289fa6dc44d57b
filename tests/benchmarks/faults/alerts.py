"""Which alerts of the chart a fault would fire if it lasted, by promtool on scraped values.

Every series goes on at the rate that was scraped before the fault for two hours, then at the rate
that was scraped during it for 30 minutes. Where the page could not be scraped, the target is down.
"""

import re
import subprocess
import tempfile
from pathlib import Path

import yaml

from tests.support.metric_values import samples
from tests.support.prometheus import RULES, promtool

LABELS = {"namespace": "shop", "job": "sizewise", "pod": "sizewise-1", "instance": "one"}
BEFORE_MIN, FAULT_MIN = 120, 30
# Those that the rules read.
NEEDED = set(re.findall(r"\bsizewise_\w+", RULES.read_text()))
# Those of them that move without a fault.
USUAL = re.compile(
    r"(requests|texts)_total$|(duration|lag)_seconds|requests_in_flight|variant_info|ratio$"
)
CUMULATIVE = re.compile(r"_(total|bucket|count|sum)$")
FIRING = re.compile(r'alertname="(\w+)"')


def firing(first, before, during):
    """The alerts; each argument is (seconds, metrics page or None)."""
    group = {
        "interval": "1m",
        "input_series": list(_series(first, before, during)),
        "promql_expr_test": [
            {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{minutes}m", "exp_samples": []}
            for minutes in (BEFORE_MIN + FAULT_MIN // 2, BEFORE_MIN + FAULT_MIN)
        ],
    }
    tests = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [group]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.yaml"
        path.write_text(yaml.safe_dump(tests))
        done: subprocess.CompletedProcess = promtool("test", "rules", path)
    said = done.stdout + done.stderr
    found = sorted(set(FIRING.findall(said)))
    assert found or done.returncode == 0, said
    return found


def moved(before, during):
    """Counters of trouble that grew, and gauges that changed, in words."""
    if during is None:
        return ["no scrape answered"]
    told = []
    earlier, later = samples(before or ""), samples(during)
    for (name, labels), value in later.items():
        grown = value - earlier.get((name, labels), 0.0)
        given = dict(labels)
        if grown and _is_trouble(name, given):
            shown = [given[key] for key in ("reason", "code", "model") if given.get(key)]
            change = f"+{grown:g}" if CUMULATIVE.search(name) else f"{value:g}"
            told.append(f"{name.removeprefix('sizewise_')}{shown or ''} {change}")
    told = [each.replace("'", "") for each in told]
    stalls = _stalls(later) - _stalls(earlier)
    return told + ([f"loop_lag_seconds over 0.25 s +{stalls:g}"] if stalls > 0 else [])


def _is_trouble(name, labels):
    if name == "sizewise_requests_total":
        code = labels["code"]
        return "health" not in labels["endpoint"] and (code == "429" or code >= "500")
    return name == "sizewise_log_lines_dropped_total" or (name in NEEDED and not USUAL.search(name))


def _stalls(page):
    return sum(
        value * (1 if name.endswith("count") else -1)
        for (name, labels), value in page.items()
        if name == "sizewise_loop_lag_seconds_count"
        or (name == "sizewise_loop_lag_seconds_bucket" and dict(labels)["le"] == "0.25")
    )


def _series(first, before, during):
    (first_s, first_page), (before_s, before_page), (during_s, during_page) = first, before, during
    down = during_page is None
    yield {
        "series": f"up{_labels({})}",
        "values": f"1+0x{BEFORE_MIN} {0 if down else 1}+0x{FAULT_MIN}",
    }
    # Of a pod that cannot be scraped, the readiness probe fails, too.
    replicas = '{namespace="shop",deployment="sizewise"}'
    yield {
        "series": f"kube_deployment_status_replicas_available{replicas}",
        "values": f"1+0x{BEFORE_MIN} {0 if down else 1}+0x{FAULT_MIN}",
    }
    pages = [samples(page or "") for page in (first_page, before_page, during_page)]
    for name, labels in sorted({*pages[1], *pages[2]}):
        if name not in NEEDED:
            continue
        values = [page.get((name, labels), 0.0) for page in pages]
        if CUMULATIVE.search(name):
            usual = _per_minute(values[1] - values[0], before_s - first_s)
            lasting = _per_minute(values[2] - values[1], during_s - before_s)
        else:
            usual = lasting = 0.0
        start = 0.0 if CUMULATIVE.search(name) else values[1]
        then = start + usual * BEFORE_MIN if CUMULATIVE.search(name) else values[2]
        shown = f"{start:.9g}+{usual:.9g}x{BEFORE_MIN} "
        shown += f"_x{FAULT_MIN}" if down else f"{then + lasting:.9g}+{lasting:.9g}x{FAULT_MIN - 1}"
        yield {"series": f"{name}{_labels(dict(labels))}", "values": shown}


def _per_minute(grown, seconds):
    return 60 * max(0.0, grown) / max(seconds, 0.1)


def _labels(labels):
    return "{" + ",".join(f'{k}="{v}"' for k, v in (LABELS | labels).items()) + "}"
