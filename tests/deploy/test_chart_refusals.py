"""Values that Kubernetes or the server would refuse later, and the habits of other charts."""

import json

import pytest
import yaml

from tests.support.helm import CHART, objects, only, template

URL = {"family": "topics", "url": "s3://bucket/topics"}
IMAGE = {"family": "topics", "image": {"reference": "r/topics:3", "path": "/topics"}}
VERSION = "62d70871628b9586"


def mount(path):
    return {"extraVolumes": [{"name": "x", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "x", "mountPath": path}]}  # fmt: skip


def traffic(**entry):
    return {"models": [{**IMAGE, "traffic": {"tiny": entry}}]}


def policy(**fields):
    return {"models": [{**IMAGE, "policy": fields}]}


SENTENCES = [
    ({"extraEnv": [{"name": "SIZEWISE_ENGINE", "value": "openvino"}]},
     "extraEnv has SIZEWISE_ENGINE: set settings.engine, or the value of the chart that sets it"),
    ({"extraEnv": [{"name": "WORKERS", "value": 4}]},
     "extraEnv: the value of WORKERS is 4, which is no string: write it in quotes"),
    ({"extraEnv": [{"name": "DEBUG", "value": True}]}, "the value of DEBUG is true, which is no"),
    (mount("/registry"), "extraVolumeMounts: /registry is in /registry, which is the chart's own"),
    (mount("/registry/topics/more"), "/registry/topics/more is in /registry"),
    (mount("/tmp/"), "extraVolumeMounts: /tmp/ is the chart's own, or no absolute path"),
    (mount("/tmp/../registry"), "extraVolumeMounts: /registry is in /registry"),
    (mount("data"), "extraVolumeMounts: data is the chart's own, or no absolute path"),
    (mount("/etc/sizewise-keys/more"), "/etc/sizewise-keys/more is in /etc/sizewise-keys"),
    (mount("/opt/sizewise/lib"), "/opt/sizewise/lib is in /opt/sizewise"),
    ({"extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}]},
     "extraVolumeMounts: no volume is called ca: add it to extraVolumes"),
    ({"fullnameOverride": "Bad_Name"},
     "fullnameOverride is Bad_Name: it must be lower-case letters, digits and hyphens"),
    ({"nameOverride": "-x"}, "nameOverride is -x: it must be lower-case letters"),
    ({"models": [{**URL, "family": "Sentiment"}]},
     "models[0].family is Sentiment: it must be lower-case letters, digits, dots and hyphens"),
    ({"models": [{**URL, "url": "file:///etc"}]},
     "models[0].url is file:///etc: it must be an address of s3, gs, abfs, hf or https"),
    ({"callers": {"existingSecret": "c", "key": "../x"}}, "callers.key is ../x: it must be a key"),
    ({"admin": {"existingSecret": "c", "key": ".."}}, "admin.key is ..: it must be a key"),
    ({"models": [{"family": "a", "pvc": {"claimName": "c", "subPath": "../x"}}]},
     "models[0].pvc.subPath is ../x: it must be a path inside the claim"),
    ({"models": [{"family": "a", "pvc": {"claimName": "c", "subPath": "/x"}}]},
     "models[0].pvc.subPath is /x: it must be a path inside the claim"),
    ({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}},
     "with which no pod is ever replaced: set one of them to 1 or more"),
    ({"updateStrategy": {"rollingUpdate": {"maxUnavailable": "0%", "maxSurge": "0%"}}},
     "with which no pod is ever replaced"),
    ({"ingress": {"enabled": True, "hosts": [{"host": "a.example.com"}]}},
     'ingress.hosts has {"host":"a.example.com"}: list the host names alone'),
]  # fmt: skip

HABITS = {
    "env": ([{"name": "A", "value": "1"}], "extraEnv"),
    "envFrom": ([{"secretRef": {"name": "a"}}], "extraEnvFrom"),
    "volumes": ([{"name": "a"}], "extraVolumes"),
    "volumeMounts": ([{"name": "a"}], "extraVolumeMounts"),
    "extraContainers": ([{"name": "a"}], "sidecars"),
    "extraInitContainers": ([{"name": "a"}], "initContainers"),
    "replicas": (3, "replicaCount"),
    "strategy": ({"type": "Recreate"}, "updateStrategy"),
    "hpa": ({"enabled": True}, "autoscaling"),
    "pdb": ({"enabled": False}, "podDisruptionBudget"),
    "podDisruptionBudget.minAvailable": (1, "podDisruptionBudget.maxUnavailable"),
    "autoscaling.targetCPUUtilizationPercentage": (80, "autoscaling.targetQueueSeconds"),
    "service.spec.type": ("NodePort", "service.type"),
    "service.spec.ports": ([], "service.port"),
    "service.spec.selector": ({"app": "x"}, "the chart selects its own pods"),
    "service.spec.ipFamilyPolicy": ("SingleStack", "service.ipFamilyPolicy"),
    "service.spec.ipFamilies": (["IPv6"], "service.ipFamilies"),
    "serviceMonitor.endpoint.port": ("http", "the chart names its own port"),
    "serviceMonitor.endpoint.path": ("/metrics", "the metrics are at /metrics"),
    "serviceMonitor.endpoint.interval": ("9s", "serviceMonitor.interval"),
}

# (values, what both helms say of the field)
OF_THE_SCHEMA = [
    (traffic(version="xyz"), "^[0-9a-f]{16}$"),
    (traffic(version=1234567890123456), "string"),
    (traffic(canary={"version": VERSION, "weight": 10}), "weight"),
    (traffic(canary={"version": VERSION}), "weight"),
    (traffic(canary={"version": 1234567890123456, "weight": 0.1}), "string"),
    (traffic(shadow={"version": VERSION, "share": 0}), "share"),
    (traffic(versions=VERSION), "versions"),
    ({"models": [{**IMAGE, "traffic": {"Tiny!": {}}}]}, "Tiny!"),
    (policy(min_accuracy=85), "min_accuracy"),
    (policy(min_acuracy=0.85), "min_acuracy"),
    (policy(floor={"max_group_gap": 10}), "max_group_gap"),
    (policy(floor={"max_gap": 0.1}), "max_gap"),
]


def under(path, value):
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def refusal(values, version):
    done = template(version, values)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("version", ["3", "4"])
@pytest.mark.parametrize(("values", "sentence"), SENTENCES, ids=lambda each: json.dumps(each)[:60])
def test_what_would_be_refused_later_is_refused_with_a_sentence(values, sentence, version):
    assert sentence in refusal(values, version)


@pytest.mark.parametrize("version", ["3", "4"])
@pytest.mark.parametrize("path", HABITS)
def test_a_name_of_other_charts_is_answered_with_the_one_of_this_chart(path, version):
    value, instead = HABITS[path]

    said = refusal(under(path, value), version)

    assert f"{path} is no value of this chart" in said
    assert instead in said


def test_every_name_that_the_schema_lets_pass_has_a_sentence():
    table = (CHART / "templates" / "_value_checks.tpl").read_text()
    named = yaml.safe_load(table.split('"sizewise.habits" -}}')[1].split("{{")[0])
    passed = json.dumps(json.loads((CHART / "values.schema.json").read_text()))

    assert named.keys() == HABITS.keys()
    open_ones = ("service.spec.", "serviceMonitor.endpoint.")
    assert passed.count("#/definitions/noValue") == sum(
        not path.startswith(open_ones) for path in HABITS
    )


@pytest.mark.parametrize("version", ["3", "4"])
@pytest.mark.parametrize(("values", "named"), OF_THE_SCHEMA, ids=lambda each: json.dumps(each)[:60])
def test_traffic_and_policy_are_those_that_the_server_takes(values, named, version):
    said = refusal(values, version)

    assert "models" in said
    assert named in said


def test_what_the_server_takes_is_rendered():
    given = {"tiny": {"version": VERSION, "canary": {"version": "0" * 16, "weight": 0.1},
                      "shadow": {"version": VERSION, "share": 0.5}}}  # fmt: skip
    model = {
        **IMAGE,
        "traffic": given,
        "policy": {
            "min_accuracy": 0.85,
            "sample_share": 0,
            "harmless": ["ham"],
            "floor": {"min_accuracy": 0.8, "max_stress_drop": 0.1, "max_group_gap": 0.1},
        },
    }
    spec = only(objects({"models": [model]}), "Deployment")["spec"]["template"]["spec"]
    files = json.loads(spec["initContainers"][-1]["args"][1])

    assert files["/registry/topics/traffic.json"] == given
    assert files["/registry/topics/policy.json"] == model["policy"]


def test_a_proxy_and_certificates_reach_what_fetches():
    values = {
        "models": [URL, {**IMAGE, "family": "copied"}],
        "fetch": {"everySeconds": 60, "secretName": "bucket"},
        "trustedKeys": {"existingSecret": "signers"},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "extraEnvFrom": [{"configMapRef": {"name": "proxies"}}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/company", "readOnly": True}],
    }
    spec = only(objects(values), "Deployment")["spec"]["template"]["spec"]
    server, sidecar = spec["containers"]
    first, copying = spec["initContainers"]

    for each in (server, first, sidecar):
        assert values["extraEnv"][0] in each["env"]
        assert values["extraEnvFrom"][0] in each["envFrom"]
        assert values["extraVolumeMounts"][0] in each["volumeMounts"]
    for each in (first, sidecar):
        assert {"secretRef": {"name": "bucket"}} in each["envFrom"]
        assert "SIZEWISE_TRUSTED_KEYS" in {given["name"] for given in each["env"]}
    assert "env" not in copying
