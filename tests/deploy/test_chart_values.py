"""The chart's values: what is refused and in which words, and that each is described."""

import json
import re

import pytest
import yaml

from loadtest.analysis.recommendation import SizingRequirements, recommend
from loadtest.sizing.helm_values import write_values
from serving.server.supervisor import EXIT_S
from serving.settings import Settings
from tests.support.helm import CHART, objects, only, template
from tests.support.reports import report

# What the chart decides itself; the rest of the settings are values.
DECIDED = {
    "trace_endpoint",
    "port",
    "registry",
    "variants",
    "device",
    "api_key",
    "callers",
    "trusted_keys",
    "text_log_keys",
    "tuning",
    "admin_port",
    "admin_key",
    "grpc_port",
}

BAD = [
    # (values, what Helm 3 says, what Helm 4 says); a sentence of the chart's own is the same.
    ({"replicaCount": "two"},
     "replicaCount: Invalid type. Expected: integer, given: string",
     "at '/replicaCount': got string, want integer"),
    ({"replica": 3},
     "(root): Additional property replica is not allowed",
     "at '': additional properties 'replica' not allowed"),
    ({"settings": {"deadline_ms": 5}},
     "settings: Additional property deadline_ms is not allowed",
     "at '/settings': additional properties 'deadline_ms' not allowed"),
    ({"settings": {"drain_ms": 5}},
     "settings.drain_ms: Must be greater than or equal to 100",
     "at '/settings/drain_ms': minimum: got 5, want 100"),
    ({"apiKey": {"value": "a-long-secret"}},
     "apiKey: Additional property value is not allowed",
     "at '/apiKey': additional properties 'value' not allowed"),
    ({"device": "tpu"},
     'device: device must be one of the following: "cpu", "gpu"',
     "at '/device': value must be one of 'cpu', 'gpu'"),
    ({"autoscaling": {"enabled": True, "targetQueueSeconds": "20ms"}},
     "autoscaling.targetQueueSeconds: Invalid type. Expected: [number,null], given: string",
     "at '/autoscaling/targetQueueSeconds': got string, want null or number"),
    ({"device": "gpu"},
     'device is gpu: set resources.limits."nvidia.com/gpu" to the number of GPUs for each pod',
     None),
    ({"resources": {"limits": {"nvidia.com/gpu": 1}}},
     ("resources.limits has nvidia.com/gpu, but device is cpu: set device to gpu, or remove the "
     "limit"), None),
    ({"autoscaling": {"enabled": True, "targetQueueSeconds": None, "targetRequestsInFlight": None}},
     ("autoscaling is enabled without a target: set autoscaling.targetQueueSeconds, "
     "autoscaling.targetRequestsInFlight or both; python -m loadtest recommend computes them"),
     None),
    ({"autoscaling": {"enabled": True, "minReplicas": 0}},
     ("autoscaling.minReplicas is 0, but an HPA cannot scale up from zero: set autoscaling.kind to "
     "keda, or minReplicas to 1 or more"), None),
    ({"autoscaling": {"enabled": True, "minReplicas": 11}},
     "autoscaling.minReplicas is 11, which exceeds autoscaling.maxReplicas, 10", None),
    ({"autoscaling": {"enabled": True, "kind": "keda"}},
     "autoscaling.kind is keda: set autoscaling.keda.serverAddress to the address of Prometheus",
     None),
    ({"autoscaling": {"enabled": True, "kind": "keda", "minReplicas": 0,
                      "keda": {"serverAddress": "http://prometheus:9090"}}},
     ("autoscaling.minReplicas is 0, and without pods there are no metrics: set "
     "autoscaling.keda.activationQuery to the traffic that your ingress measures"), None),
    ({"ingress": {"enabled": True, "hosts": ["a.example.com"]},
      "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}},
     "ingress and httpRoute are both enabled: enable only the one that your cluster supports",
     None),
    ({"tuning": {"existingConfigMap": "b", "job": {"enabled": True}}},
     "tuning.existingConfigMap and tuning.job.enabled are both set: keep one of them", None),
    ({"tuning": {"job": {"enabled": True, "nodeSelectors": []}}},
     "tuning.job.nodeSelectors: Array must have at least 1 items",
     "at '/tuning/job/nodeSelectors': minItems: got 0, want 1"),
    ({"tuning": {"hostPath": "/tuning", "existingConfigMap": "b"}},
     "tuning.hostPath and tuning.existingConfigMap are both set: keep one of them", None),
    ({"trustedKeys": {"existingSecret": "a", "existingConfigMap": "b"}},
     ("trustedKeys.existingSecret and trustedKeys.existingConfigMap are both set: keep one of "
     "them"), None),
    ({"ingress": {"enabled": True}},
     "ingress is enabled without a host: list the host names in ingress.hosts", None),
    ({"httpRoute": {"enabled": True}},
     "httpRoute is enabled without a gateway: list it in httpRoute.parentRefs", None),
    ({"models": [{"family": "topics"}]},
     "models[0] (topics) has no source: set exactly one of image, pvc and url", None),
    ({"models": [{"family": "topics", "url": "s3://a/topics", "pvc": {"claimName": "a"}}]},
     "models[0] (topics) has pvc and url: set exactly one of image, pvc and url", None),
    ({"models": [{"family": "topics", "url": "s3://a/topics"},
                 {"family": "topics", "url": "s3://b/topics"}]},
     "models[1]: the family topics is listed twice", None),
    ({"networkPolicy": {"enabled": True}, "models": [{"family": "topics", "url": "s3://a/topics"}]},
     ("networkPolicy is enabled and allows no outgoing traffic: allow what models with a url, or "
     "tracing, must reach in networkPolicy.egress"), None),
    ({"tracing": {"enabled": True}},
     "tracing is enabled without a collector: set tracing.endpoint to its address", None),
    ({"settings": {"drain_ms": 15001}},
     ("terminationGracePeriodSeconds is 30: it must exceed the sum of "
     "settings.shutdown_delay_ms and settings.drain_ms, which is 20001 ms, by "
     f"{EXIT_S} seconds"), None),
]  # fmt: skip


@pytest.mark.parametrize("version", ["3", "4"])
@pytest.mark.parametrize(
    ("values", "by_helm_3", "by_helm_4"), BAD, ids=lambda each: json.dumps(each)[:60]
)
def test_bad_values_are_refused_with_the_reason(values, by_helm_3, by_helm_4, version):
    done = template(version, values)

    assert done.returncode != 0
    assert (by_helm_4 if version == "4" and by_helm_4 else by_helm_3) in done.stderr


def test_the_schema_takes_the_servers_own_settings_with_their_ranges():
    schema = json.loads((CHART / "values.schema.json").read_text())
    described = Settings.model_json_schema()["properties"]
    told = ("type", "enum", "minimum", "maximum", "description")

    assert schema["properties"]["settings"]["properties"] == {
        name: {key: field[key] for key in told if key in field}
        for name, field in described.items()
        if name not in DECIDED
    }


def test_no_object_of_ours_in_the_schema_is_open():
    def closed(node, where):
        if isinstance(node, dict):
            if "properties" in node and where != "properties":
                assert node["additionalProperties"] is False, node
            for key, value in node.items():
                closed(value, key)

    closed(json.loads((CHART / "values.schema.json").read_text()), "")


def test_every_value_says_what_it_is():
    lines = (CHART / "values.yaml").read_text().splitlines()
    described = {0: False}
    for number, line in enumerate(lines):
        key = re.match(r"( *)([A-Za-z]\w*):(.*)", line)
        if not key:
            continue
        depth, opens = len(key[1]), not key[3].strip()
        above = number - 1
        while lines[above].lstrip().startswith("#") and "# --" not in lines[above]:
            above -= 1
        own = "# --" in lines[above]
        inherited = any(said for parent, said in described.items() if parent < depth)
        assert own or opens or inherited, f"{key[2]} has no comment"
        described = {parent: said for parent, said in described.items() if parent < depth}
        described[depth] = own and opens


def test_a_recommended_brownout_reaches_the_server_with_all_stages_of_the_cascade(tmp_path):
    told = report()
    told["variants"][1] |= {"variant": "brownout", "stages": ["tiny", "small"], "brownout_ms": 25}
    write_values(
        recommend(told, SizingRequirements(20.0, 0.85, 2000.0)), 2, "", tmp_path / "values.yaml"
    )
    values = yaml.safe_load((tmp_path / "values.yaml").read_text())
    (server,) = only(objects(values), "Deployment")["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each.get("value") for each in server["env"]}
    assert given["SIZEWISE_VARIANTS"] == "tiny,small"
    assert given["SIZEWISE_BROWNOUT_MS"] == "25"
    assert given["SIZEWISE_DRAIN_MS"] == "15000"


def test_a_recommendation_is_a_file_of_values(tmp_path):
    found = recommend(report(), SizingRequirements(20.0, 0.85, 2000.0))
    write_values(found, 2, "python -m loadtest recommend", tmp_path / "values.recommended.yaml")
    values = yaml.safe_load((tmp_path / "values.recommended.yaml").read_text())
    kept = yaml.safe_load((CHART / "ci" / "recommended-values.yaml").read_text())
    assert {key: sorted(value) if isinstance(value, dict) else type(value)
            for key, value in values.items()} == {
        key: sorted(value) if isinstance(value, dict) else type(value)
        for key, value in kept.items()}  # fmt: skip

    assert only(objects(values), "Deployment")["spec"]["replicas"] == found.chosen.replicas
    values["autoscaling"]["enabled"] = True
    scaled = only(objects(values), "HorizontalPodAutoscaler")["spec"]
    targets = {each["pods"]["metric"]["name"]: each["pods"]["target"]["averageValue"]
               for each in scaled["metrics"]}  # fmt: skip
    asked = values["autoscaling"]
    assert (scaled["minReplicas"], scaled["maxReplicas"]) == (
        asked["minReplicas"],
        asked["maxReplicas"],
    )
    assert targets == {
        "sizewise_queue_seconds": f"{asked['targetQueueSeconds'] * 1000:.0f}m",
        "sizewise_requests_in_flight": f"{asked['targetRequestsInFlight'] * 1000:.0f}m",
    }
