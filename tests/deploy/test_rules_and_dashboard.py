"""Rules, alerts and dashboard against a real Prometheus that scrapes a real server under load."""

import itertools
import json
import re
import time
from dataclasses import dataclass

import httpx
import pytest
import yaml

from serving.bundles.registry import publish, read_registry
from tests.support.api_keys import write_callers
from tests.support.bundles import alter, write_registry
from tests.support.cascades import cascade_of, write_cascade
from tests.support.decisions import decider, decisions_of, write_decisions
from tests.support.metric_values import total
from tests.support.processes import ROOT, free_port, serving
from tests.support.prometheus import JOB, LABELS, RULES, load, prometheus, promtool
from tests.support.registries import wait_for

DASHBOARD_PAGE = ROOT / "docs" / "operations" / "dashboard.md"
DASHBOARD = json.loads((ROOT / "helm" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULE_LIST = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
ADAPTER = yaml.safe_load((ROOT / "docs" / "prometheus-adapter.yaml").read_text())
MAX_TEXTS = 64
LOAD_S = 15
RATE_S = 10
REFUSED = 'sizewise_requests_total{code="429"}'
EXTRAPOLATED = 0.01
"""rate() extrapolates each series to its window's ends, so rates of two counters that always agree
differ where their series began at different moments."""


def add_trials(registry, scratch):
    """A canary that is also a shadow, and part of a bundle, which is refused."""
    made = alter(scratch / "tiny", scratch / "next", max_length=31)
    version = publish(made, registry, "@next").manifest.version
    trials = {
        "canary": {"version": version, "weight": 0.5},
        "shadow": {"version": version, "share": 1},
    }
    (registry / "tone" / "traffic.json").write_text(json.dumps({"tiny": trials}))
    half = registry / "tone" / "half"
    half.mkdir()
    (half / "model.onnx").write_bytes(b"")


def expression(target):
    """As Grafana sends it."""
    return (
        target["expr"]
        .replace("$__rate_interval", f"{RATE_S}s")
        .replace("$namespace", LABELS["namespace"])
        .replace("$job", JOB)
    )


def adapter_query(rule):
    """As prometheus-adapter asks for the pods of a namespace."""
    name = re.search(r'^(\w+)|__name__="(.+?)"', rule["seriesQuery"])
    return (
        rule["metricsQuery"]
        .replace("<<.Series>>", name[1] or name[2])
        .replace("<<.LabelMatchers>>", 'namespace="{namespace}",pod=~"{pod}"'.format(**LABELS))
        .replace("<<.GroupBy>>", "pod")
    )


@dataclass(frozen=True)
class Measured:
    panels: dict
    """(labels, value) by title and legend."""
    recorded: dict
    """The same by recording rule."""
    signals: dict
    """The same by the name of the metric that the autoscaler asks the adapter for."""
    texts_per_s: float
    """As the clients counted."""
    page: str


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """One core, room for five requests and a queue of one large request: some are refused."""
    scratch = tmp_path_factory.mktemp("measured")
    registry = write_registry(scratch / "registry", scratch)
    versions = {b.manifest.variant: b.manifest.version for b in read_registry(registry)["tone"]}
    write_cascade(registry, versions)
    thresholds = decider(versions, {"positive": 0.5}, cascade=cascade_of(versions))
    write_decisions(registry, decisions_of(thresholds))
    add_trials(registry, scratch)
    consents = {"text_log": True, "max_requests": 1000}
    headers = write_callers(scratch / "callers.json", willing=consents)["willing"]
    feedback = {
        "callers": scratch / "callers.json", "feedback_texts": 10_000, "text_log": scratch / "log",
        "text_log_share": 1, "text_log_flush_s": 1,
    }  # fmt: skip
    settings = {"max_texts": MAX_TEXTS, "max_queue_texts": MAX_TEXTS, "max_requests": 5} | feedback
    with (
        serving(registry, threads=1, grpc_port=free_port(), **settings) as server,
        prometheus(server) as scraped,
        load(server, MAX_TEXTS, headers) as sent,
    ):
        # The first refusal begins a series, whose first value rate() does not see.
        wait_for(lambda: scraped.numbers(REFUSED, time.time()))
        time.sleep(LOAD_S)
        now = time.time()
        return Measured(
            panels={
                (panel["title"], target["legendFormat"]): scraped.numbers(expression(target), now)
                for panel in PANELS
                for target in panel["targets"]
            },
            recorded={
                rule["record"]: scraped.numbers(rule["record"], now)
                for rule in RULE_LIST
                if "record" in rule and not rule["record"].endswith(":burning")
            },
            signals={
                rule["name"]["as"]: scraped.numbers(adapter_query(rule), now)
                for rule in ADAPTER["rules"]["custom"]
            },
            texts_per_s=sent.texts_per_s(now, RATE_S),
            page=server.metrics(),
        )


def test_every_panel_has_a_number_for_a_server_under_load(measured):
    for (title, legend), answers in measured.panels.items():
        for labels, value in answers or [({}, float("nan"))]:
            shown = re.sub(r"\{\{(\w+)\}\}", lambda m, of=labels: of.get(m[1], ""), legend)
            print(f"{title:24} {shown:44} {value:.6g}")
    assert [shown for shown, answers in measured.panels.items() if not answers] == []


def test_legends_name_labels_that_the_answers_have(measured):
    for (_, legend), answers in measured.panels.items():
        for labels, _ in answers:
            assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= set(labels), legend


def test_the_dashboard_says_what_the_clients_saw(measured):
    panels = measured.panels
    by_status = {
        labels["code"]: value for labels, value in panels["Requests by status", "{{code}}"]
    }
    shown = sum(value for _, value in panels["Texts by variant", "{{model}}/{{variant}}"])
    refused = sum(value for _, value in panels["Refused by reason", "{{reason}}"])
    ((_, error_ratio),) = panels["Error ratio", "failed or refused"]

    assert shown == pytest.approx(measured.texts_per_s, rel=0.25)
    assert by_status["429"] > 0
    assert by_status["422"] > 0
    assert total(measured.page, "sizewise_rejected_total") == total(
        measured.page, "sizewise_requests_total", code="429"
    )
    ended = by_status["429"] + by_status["200"]
    assert refused == pytest.approx(by_status["429"], rel=EXTRAPOLATED)
    assert error_ratio == pytest.approx(by_status["429"] / ended, rel=EXTRAPOLATED)
    assert panels["Ready replicas", "ready"] == [({}, 1.0)]


def test_every_recording_rule_has_a_number_for_a_server_under_load(measured):
    assert [rule for rule, found in measured.recorded.items() if not found] == []


def test_the_guides_adapter_rules_give_the_autoscaler_a_number_for_each_pod(measured):
    assert set(measured.signals) == {"sizewise_requests_in_flight", "sizewise_queue_seconds"}
    for found in measured.signals.values():
        assert [labels for labels, _ in found] == [{"pod": LABELS["pod"]}]
    ((_, queue_s),) = measured.signals["sizewise_queue_seconds"]
    assert 0 < queue_s < 1


def test_promtool_finds_nothing_wrong_with_the_metrics_page(measured):
    checked = promtool("check", "metrics", given=measured.page)

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.mark.parametrize("http_processes", [0, 1])
def test_a_server_that_drains_says_that_it_is_not_ready(tiny_registry, http_processes):
    settings = {"http_processes": http_processes, "shutdown_delay_ms": 2000}
    with serving(tiny_registry, **settings) as server:
        assert "\nsizewise_ready 1.0\n" in server.metrics()
        server.process.terminate()
        until = time.monotonic() + 2
        while httpx.get(f"{server.url}/health/ready").status_code == 200:
            assert time.monotonic() < until
        assert "\nsizewise_ready 0.0\n" in server.metrics()


def test_the_dashboards_page_names_panels_that_are_there():
    rows = re.findall(r"^\| \*(.+?)\*", DASHBOARD_PAGE.read_text(), re.MULTILINE)

    assert len(rows) > 8
    assert set(rows) <= {panel["title"] for panel in PANELS}


def test_every_panel_says_what_it_means_in_which_unit():
    assert DASHBOARD["uid"] == "sizewise"
    for panel in PANELS:
        assert len(panel["description"]) > 40, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for source in (panel, *panel["targets"]):
            assert source["datasource"]["uid"] == "${datasource}", panel["title"]
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_panels_do_not_overlap():
    taken = [
        (panel["gridPos"]["x"] + dx, panel["gridPos"]["y"] + dy)
        for panel in DASHBOARD["panels"]
        for dx, dy in itertools.product(range(panel["gridPos"]["w"]), range(panel["gridPos"]["h"]))
    ]

    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
