"""The rules: what they read exists, and every alert fires when it should and only then."""

import json
import re

import pytest
import yaml
from starlette.routing import Route

from serving.errors import CapacityError, InternalError, served_errors
from serving.observability.counters import SECONDS
from serving.observability.definitions import DEFINITIONS
from serving.observability.metric_kinds import NAMESPACE, Count, Distribution, Split
from serving.observability.metrics import FAILED
from serving.protocols import huggingface, infinity_vllm, native, tei
from serving.protocols.open_inference import http as open_inference
from tests.support.processes import ROOT
from tests.support.prometheus import RULES, promtool

UNIT_TESTS = ROOT / "tests" / "deploy" / "rules_test.yaml"
TEMPTING = UNIT_TESTS.with_name("rules_tempting_test.yaml")
ALERT_PAGES = ROOT / "docs" / "operations" / "alerts"
DASHBOARD = (ROOT / "helm" / "dashboard.json").read_text()
SCHEMA = json.loads((ROOT / "helm" / "values.schema.json").read_text())
NAMED_RULES = [
    (group["name"], rule)
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
]
RULE_LIST = [rule for _, rule in NAMED_RULES]
ALERTS = {rule["alert"]: rule for rule in RULE_LIST if "alert" in rule}
RECORDED = {rule["record"] for rule in RULE_LIST if "record" in rule}
NOT_VALID = set(re.findall(r'endpoint!~\\?"([^"\\]*)\\?"', RULES.read_text() + DASHBOARD))
GRPC = "/inference.GRPCInferenceService"
HOUSEKEEPING = {
    "", "/health", "/ping", "/metrics", "/health/live", "/health/ready", "/v2/health/live",
    "/v2/health/ready", "/v2/models/{model}/ready", "/v2/models/{model}/versions/{version}/ready",
    f"{GRPC}/ServerLive", f"{GRPC}/ServerReady", f"{GRPC}/ModelReady",
    "/grpc.health.v1.Health/Check",
}  # fmt: skip


def cases(path):
    return yaml.safe_load(path.read_text())["tests"]


def published():
    """Every series that the server can publish, with its labels."""
    for each in DEFINITIONS:
        name = f"{NAMESPACE}_{each.name}"
        if isinstance(each, Distribution):
            yield f"{name}_bucket", {*each.labels, "le"}
            yield f"{name}_count", set(each.labels)
            yield f"{name}_sum", set(each.labels)
        else:
            total = "_total" if isinstance(each, Count | Split) else ""
            yield name + total, set(each.labels)


SERIES = dict(published())


@pytest.mark.parametrize("rule", [*RULE_LIST, DASHBOARD], ids=lambda rule: str(rule)[:60])
def test_every_series_that_is_read_is_published_or_recorded_and_has_the_labels_named(rule):
    read = rule["expr"] if isinstance(rule, dict) else rule.replace('\\"', '"')
    names = set(re.findall(r"(?<![\w:])(?:\w+:)?sizewise_\w+(?::\w+)?", read))

    assert names <= SERIES.keys() | RECORDED
    for name, matchers in re.findall(r"(?<![\w:])(sizewise_\w+)\{([^}]*)\}", read):
        named = set(re.findall(r"(\w+)\s*[!=]", re.sub(r'"[^"]*"', '""', matchers)))
        assert named - {"namespace", "job", "pod", "instance"} <= SERIES[name], name


def test_probes_and_scrapes_are_no_valid_requests_and_everything_else_is():
    (pattern,) = NOT_VALID
    routes = {
        route.path
        for api in (native, tei, huggingface, infinity_vllm, open_inference)
        for route in api.router.routes
        if isinstance(route, Route)
    }
    methods = {f"{GRPC}/{name}" for name in ("ServerMetadata", "ModelMetadata", "ModelInfer")}
    endpoints = routes | methods | HOUSEKEEPING

    assert {"/v1/classify", "/v2/models/{model}/infer", "/predict", "/v1/models"} <= endpoints
    assert {each for each in endpoints if re.fullmatch(pattern, each)} == HOUSEKEEPING


def test_every_failure_has_its_series_before_it_first_happens():
    happen = {
        (error.status, error.code)
        for error in (*served_errors(CapacityError), InternalError, *served_errors(InternalError))
    }

    assert set(FAILED) == happen | {(503, "starting")}


def test_an_objective_is_a_bound_of_the_histograms_buckets():
    assert set(SCHEMA["definitions"]["p99Seconds"]["enum"]) == {0, *SECONDS}


def unit_tests_by_groups():
    """UNIT_TESTS' cases, as text, by the groups that they need: the others take most time."""
    defined = {rule.get("alert", rule.get("record")): name for name, rule in NAMED_RULES}
    found = {}
    for case in re.split(r"(?m)^(?=- name: )", UNIT_TESTS.read_text())[1:]:
        needed, texts = set(), [case]
        while texts:
            named = {
                defined[word] for word in re.findall(r"[\w:]+", texts.pop()) if word in defined
            }
            texts += [rule["expr"] for name, rule in NAMED_RULES if name in named - needed]
            needed |= named
        found.setdefault(tuple(sorted(needed)), []).append(case)
    return found


@pytest.mark.parametrize(
    ("names", "chosen"),
    unit_tests_by_groups().items(),
    ids=[" ".join(names) for names in unit_tests_by_groups()],
)
def test_the_rules_pass_their_unit_tests(tmp_path, names, chosen):
    groups = [each for each in yaml.safe_load(RULES.read_text())["groups"] if each["name"] in names]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    head = "rule_files: [rules.yaml]\nevaluation_interval: 1m\ntests:\n"
    (tmp_path / "test.yaml").write_text(head + "".join(chosen))

    tested = promtool("test", "rules", tmp_path / "test.yaml")

    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("command", [("check", "rules", RULES), ("test", "rules", TEMPTING)])
def test_promtool_accepts_the_rules_and_no_tempting_case_raises_an_alert(command):
    checked = promtool(*command)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_is_seen_to_fire_and_not_to_fire():
    checks = [check for each in cases(UNIT_TESTS) for check in each["alert_rule_test"]]

    assert {check["alertname"] for check in checks if check["exp_alerts"]} == set(ALERTS)
    silent = {check["alertname"] for check in checks if not check["exp_alerts"]}
    assert silent == set(ALERTS)


def test_at_least_twenty_tempting_cases_raise_no_alert_at_any_time():
    assert len(cases(TEMPTING)) >= 20
    for each in cases(TEMPTING):
        (check,) = each["promql_expr_test"]
        whole = f'max_over_time(ALERTS{{alertstate="firing"}}[{check["eval_time"]}])'
        assert check["expr"] == whole
        assert check["exp_samples"] == []


def test_every_alert_has_its_page_and_every_page_its_alert():
    pages = {path.stem: path.read_text() for path in ALERT_PAGES.glob("*.md")}
    index = pages.pop("index")

    assert set(pages) == set(ALERTS)
    for name, rule in ALERTS.items():
        severity = rule["labels"]["severity"]
        assert severity in {"page", "ticket"}
        assert pages[name].startswith(f"# {name}\n\n**{severity.capitalize()}.** ")
        assert f"\n| [{name}]({name}.md) | {severity} | " in index
        address = rule["annotations"]["runbook_url"]
        assert address == f"https://sizewise.example/operations/alerts/{name}/"
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
