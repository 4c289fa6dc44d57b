"""The PrometheusRule that the chart makes of rules.yaml."""

import pytest
import yaml

from tests.support.helm import CHART, helm, template
from tests.support.prometheus import promtool

RULES = yaml.safe_load((CHART / "rules.yaml").read_text())["groups"]
PODS = 'namespace="models",pod=~"shop-sizewise-[^-]+-[^-]+"'


def groups(values=(), version="4", **more):
    done = template(version, {"prometheusRule": {"enabled": True, **dict(values)}, **more})
    assert done.returncode == 0, done.stderr
    (rule,) = (
        each
        for each in yaml.safe_load_all(done.stdout)
        if each and each["kind"] == "PrometheusRule"
    )
    return rule["spec"]["groups"]


@pytest.mark.parametrize("version", ["3", "4"])
def test_the_rules_are_embedded_word_for_word_but_for_what_is_the_releases_own(version):
    found = groups(version=version)

    assert [group["name"] for group in found] == [group["name"] for group in RULES]
    for group, of_the_file in zip(found[1:], RULES[1:], strict=True):
        if group["name"] != "sizewise.drift":
            assert group == of_the_file


def test_drift_is_added_up_over_the_pods_of_the_release_under_its_name():
    rules, of_the_file = (
        next(group["rules"] for group in found if group["name"] == "sizewise.drift")
        for found in (groups(), RULES)
    )
    pods = f"{{{PODS}}}"

    for share, rule, other in zip(("escalation", "flagged"), rules, of_the_file, strict=True):
        capital = f"sizewise_{share}_log_capital"
        assert rule["labels"] == {"release": "models/shop-sizewise"}
        assert rule["expr"].count(capital) == rule["expr"].count(capital + pods) == 3
        assert other["expr"] == (
            rule["expr"].replace(pods, "{}").replace('release="models/shop-sizewise"', 'release=""')
        )


def test_the_objectives_are_those_of_the_values_for_the_pods_of_the_release():
    ((usual,), (set_one_by_one,)) = (
        groups(values)[0]["rules"]
        for values in ({}, {"p99Seconds": 0.25, "p99SecondsOf": {"tone": 0.04, "mood": 0}})
    )

    by_model = "group by (namespace, job, model) (sizewise_variant_info"
    assert usual["record"] == RULES[0]["rules"][0]["record"]
    assert usual["expr"] == f"1 * {by_model}{{{PODS}}})"
    assert usual["expr"].replace(f"{{{PODS}}}", "") == RULES[0]["rules"][0]["expr"]
    assert set_one_by_one["expr"] == (
        f'0 * {by_model}{{{PODS},model="mood"}}) or 0.04 * {by_model}{{{PODS},model="tone"}})'
        f" or 0.25 * {by_model}{{{PODS}}})"
    )


def test_each_alert_links_to_its_page_at_the_address_of_the_values():
    found = groups({"runbookUrl": "https://wiki.example.com/a?page=ALERT#top"})
    links = {
        rule["alert"]: rule["annotations"]["runbook_url"]
        for group in found
        for rule in group["rules"]
        if "alert" in rule
    }

    assert links == {name: f"https://wiki.example.com/a?page={name}#top" for name in links}
    assert len(links) > 20


@pytest.mark.parametrize(
    "values",
    [
        {"p99Seconds": 0.3},
        {"p99SecondsOf": {"tone": 20}},
        {"runbookUrl": "docs/operations/alerts/ALERT.md"},
        {"runbookUrl": "https://wiki.example.com/"},
    ],
)
def test_values_that_the_rules_cannot_use_are_refused(values):
    done = template("4", {"prometheusRule": {"enabled": True, **values}})

    assert done.returncode != 0
    assert next(iter(values)) in done.stderr


@pytest.mark.parametrize(
    "more", [(), ("--set", "prometheusRule.runbookUrl=https://a.example/ALERT")]
)
def test_the_notes_say_that_the_links_lead_nowhere_until_they_are_set(more):
    enabled = ("--set", "prometheusRule.enabled=true")
    done = helm("4", "install", "shop", CHART, "--dry-run=client", *enabled, *more)

    assert done.returncode == 0, done.stderr
    assert ("a placeholder" in done.stdout) == (not more)


def series(name, values, **labels):
    named = {
        "namespace": "models",
        "job": "j",
        "pod": "shop-sizewise-a-b",
        "endpoint": "/predict",
    } | labels
    shown = ",".join(f'{key}="{value}"' for key, value in named.items())
    return {"series": f"sizewise_{name}{{{shown}}}", "values": f"{values}x40"}


def test_promtool_fires_for_the_model_that_misses_its_own_objective(tmp_path):
    values = {"p99Seconds": 1.6, "p99SecondsOf": {"tone": 0.04, "mood": 0}}
    bucket, within = "request_duration_seconds_bucket", {"0.04": 90, "1.6": 99.5, "+Inf": 100}
    test = {
        "interval": "1m",
        "input_series": [
            each
            for model in ("tone", "mood", "topics")
            for each in (
                series("variant_info", "1+0", model=model, variant="tiny"),
                series("requests_total", "0+100", model=model, code="200"),
                *(series(bucket, f"0+{n}", model=model, le=le) for le, n in within.items()),
            )
        ],
        "promql_expr_test": [
            {
                "expr": 'sum by (alertname, model) (ALERTS{alertstate="firing"})',
                "eval_time": "40m",
                "exp_samples": [
                    {"labels": '{alertname="SizewiseLatencyHigh",model="tone"}', "value": 1}
                ],
            }
        ],
    }
    tests = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups(values)}))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(tests))
    checked = promtool("test", "rules", tmp_path / "test.yaml")

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_two_releases_in_one_prometheus_count_each_bet_once(tmp_path):
    drift = [
        group
        for found in (groups(), groups(fullnameOverride="mood"))
        for group in found
        if group["name"] == "sizewise.drift"
    ]
    for name, group in zip("ab", drift, strict=True):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    bet = {"model": "tone", "cascade": "c", "since": "1", "side": "higher", "stake": "1"}
    test = {
        "interval": "1m",
        "input_series": [
            series("escalation_log_capital", "0+0.25", pod="shop-sizewise-a-b", **bet),
            series("escalation_log_capital", "0+0.5", pod="mood-a-b", **bet),
        ],
        "promql_expr_test": [
            {
                "expr": "sum by (release) (job:sizewise_escalation_evidence:cusum)",
                "eval_time": "20m",
                "exp_samples": [
                    {"labels": '{release="models/mood"}', "value": 10},
                    {"labels": '{release="models/shop-sizewise"}', "value": 5},
                ],
            }
        ],
    }
    tests = {"rule_files": ["a.yaml", "b.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(tests))
    checked = promtool("test", "rules", tmp_path / "test.yaml")

    assert checked.returncode == 0, checked.stdout + checked.stderr
