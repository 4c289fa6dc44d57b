"""Twenty ways of deploying that users of other charts know, in this chart's values: what they add
is there, and Kubernetes takes every object.
"""

import json

import kubernetes_validate
import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject, TriggerAuthentication
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor

from tests.support.helm import CHART, helm, objects, only, variables

URL = [{"family": "topics", "url": "s3://bucket/topics"}]
PEER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
CUSTOM = {"ScaledObject": ScaledObject, "TriggerAuthentication": TriggerAuthentication,
          "ServiceMonitor": ServiceMonitor}  # fmt: skip
ROUTES = {"HTTPRoute", "GRPCRoute"}
KEDA = {"enabled": True, "kind": "keda"}
PROMETHEUS = {"serverAddress": "https://prometheus.monitoring:9091"}

SETS = {
    "an environment from a ConfigMap and a proxy": {
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
                     {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "extraEnvFrom": [{"configMapRef": {"name": "proxies"}}]},
    "certificates of a company": {
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/company", "readOnly": True}]},
    "a CSI volume of secrets": {
        "extraVolumes": [{"name": "vault", "csi": {
            "driver": "secrets-store.csi.k8s.io", "readOnly": True,
            "volumeAttributes": {"secretProviderClass": "sizewise"}}}],
        "extraVolumeMounts": [{"name": "vault", "mountPath": "/mnt/secrets", "readOnly": True}]},
    "init containers that wait": {
        "initContainers": [{"name": "wait", "image": "busybox:1.37", "command": ["true"]}],
        "models": URL},
    "a sidecar that authenticates": {
        "sidecars": [{"name": "proxy", "image": "oauth2-proxy:v7",
                      "ports": [{"name": "proxy", "containerPort": 4180}],
                      "resources": {"limits": {"memory": "64Mi"}}}],
        "service": {"spec": {"sessionAffinity": "ClientIP"}}},
    "OpenShift's own users": {
        "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
    "a restricted pod with other users": {
        "podSecurityContext": {"runAsUser": 2000, "fsGroup": 2000, "supplementalGroups": [3000]},
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}},
    "a debugger in the container": {
        "securityContext": {"readOnlyRootFilesystem": False, "capabilities": {
            "drop": ["ALL"], "add": ["SYS_PTRACE"]}}},
    "one pod at a time on scarce GPUs": {
        "updateStrategy": {"type": "Recreate"}, "device": "gpu", "replicaCount": 1,
        "resources": {"limits": {"nvidia.com/gpu": 1}}},
    "a slice of a GPU": {
        "device": "gpu", "resources": {"limits": {"nvidia.com/mig-1g.5gb": 1, "memory": "4Gi"}},
        "runtimeClassName": "nvidia"},
    "a quick rolling update": {
        "updateStrategy": {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": "25%"}}},
    "a node port": {
        "service": {"type": "NodePort", "nodePort": 31198, "grpcNodePort": 31199},
        "grpc": {"enabled": True}},
    "a load balancer for some": {
        "service": {"type": "LoadBalancer", "annotations": {"cloud.example.com/internal": "true"},
                    "spec": {"loadBalancerSourceRanges": ["10.0.0.0/8"],
                             "externalTrafficPolicy": "Local"}}},
    "an ingress for every protocol": {
        "grpc": {"enabled": True},
        "ingress": {"enabled": True, "className": "nginx", "hosts": ["classify.example.com"],
                    "paths": ["/v1/", "/v2/", "/predict", "/classify", "/models/"],
                    "grpc": {"hosts": ["grpc.example.com"],
                             "tls": [{"secretName": "tls", "hosts": ["grpc.example.com"]}]}}},
    "routes of a gateway": {
        "grpc": {"enabled": True},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}], "paths": ["/"]},
        "grpcRoute": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}],
                      "hostnames": ["grpc.example.com"]}},
    "models that follow a bucket": {
        "models": URL, "fetch": {"everySeconds": 60, "secretName": "bucket"},
        "settings": {"default_model": "topics", "host": "0.0.0.0"}},
    "a canary in the values": {
        "models": [{"family": "topics", "image": {"reference": "r/topics:3", "path": "/topics"},
                    "traffic": {"tiny": {"version": "62d70871628b9586"}},
                    "policy": {"min_accuracy": 0.85}}]},
    "KEDA with a token": {
        "autoscaling": {**KEDA, "targetQueueSeconds": 0.005, "keda": {
            **PROMETHEUS, "authModes": "bearer", "secretTargetRef": [
                {"parameter": "bearerToken", "name": "prometheus", "key": "token"}]}}},
    "KEDA with credentials of the cluster": {
        "autoscaling": {**KEDA, "keda": {**PROMETHEUS, "authModes": "tls,basic",
            "authenticationRef": {"name": "prometheus", "kind": "ClusterTriggerAuthentication"}}}},
    "a scrape with relabelling, callers and a network policy": {
        "serviceMonitor": {"enabled": True, "interval": "30s", "labels": {"release": "prometheus"},
            "endpoint": {"scrapeTimeout": "10s", "relabelings": [
                {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}]}},
        "networkPolicy": {"enabled": True, "from": [PEER]},
        "callers": {"existingSecret": "callers"}, "tests": {"existingSecret": "a-callers-key"}},
}  # fmt: skip


def pod(values):
    return only(objects(values), "Deployment")["spec"]["template"]["spec"]


def test_there_are_twenty():
    assert len(SETS) == 20


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_rendered_alike_by_both_helms_into_objects_of_kubernetes(name):
    found = objects(SETS[name])

    assert found == objects(SETS[name], "3")
    for (kind, _), each in found.items():
        if kind in CUSTOM:
            known = CUSTOM[kind].model_validate(each)
            assert known.model_dump(by_alias=True, exclude_unset=True, mode="json") == each
        elif kind not in ROUTES:
            for version in ("1.29", "1.37"):
                kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("name", SETS)
def test_a_set_lints(name, tmp_path):
    path = tmp_path / "values.yaml"
    path.write_text(json.dumps(SETS[name]))

    done = helm("4", "lint", "--strict", CHART, "--values", path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_added_stands_beside_what_the_chart_has():
    added = {}
    for name in ("an environment from a ConfigMap and a proxy", "certificates of a company",
                 "init containers that wait", "a sidecar that authenticates"):  # fmt: skip
        added |= SETS[name]
    spec = pod(added)
    server, sidecar = spec["containers"]

    given = variables(server)
    assert (given["HTTPS_PROXY"], given["SIZEWISE_DRAIN_MS"]) == ("http://proxy:3128", "15000")
    assert server["envFrom"] == added["extraEnvFrom"]
    assert [each["mountPath"] for each in server["volumeMounts"]] == [
        "/tmp", "/registry/topics", "/etc/ssl/company"]  # fmt: skip
    assert [each["name"] for each in spec["volumes"]] == ["tmp", "registry", "ca"]
    assert sidecar == added["sidecars"][0]
    assert [each["name"] for each in spec["initContainers"]] == ["wait", "model-0"]


def test_security_contexts_are_replaced_field_by_field_in_every_pod():
    values = {**SETS["OpenShift's own users"], "securityContext": {"readOnlyRootFilesystem": None},
              "models": URL, "loadTest": {"enabled": True}}  # fmt: skip
    found = objects(values)
    pods = [pod(values), only(found, "Pod")["spec"]]
    pods += [each["spec"]["template"]["spec"] for (kind, _), each in found.items() if kind == "Job"]

    assert len(pods) == 4
    for spec in pods:
        assert spec["securityContext"] == {
            "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}  # fmt: skip
        for each in [*spec["containers"], *spec.get("initContainers", [])]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}  # fmt: skip


def test_a_url_is_fetched_once_before_the_start_and_again_beside_the_server():
    spec = pod(SETS["models that follow a bucket"])
    (first,), (server, again) = spec["initContainers"], spec["containers"]

    assert again["command"] == [*first["command"], "--every-s=60"]
    for each in ("image", "envFrom", "volumeMounts", "securityContext", "resources"):
        assert again[each] == first[each]
    given = variables(server)
    assert (given["SIZEWISE_DEFAULT_MODEL"], given["SIZEWISE_HOST"]) == ("topics", "0.0.0.0")


def test_grpc_has_a_route_of_its_own_and_http_has_the_paths_that_are_given():
    ingress = objects(SETS["an ingress for every protocol"])
    (rule,) = ingress["Ingress", "shop-sizewise"]["spec"]["rules"]
    (grpc_rule,) = ingress["Ingress", "shop-sizewise-grpc"]["spec"]["rules"]
    routes = objects(SETS["routes of a gateway"])

    assert [each["path"] for each in rule["http"]["paths"]] == [
        "/v1/", "/v2/", "/predict", "/classify", "/models/"]  # fmt: skip
    assert grpc_rule["http"]["paths"][0]["backend"]["service"]["port"] == {"name": "grpc"}
    assert ingress["Ingress", "shop-sizewise-grpc"]["metadata"]["annotations"] == {
        "nginx.ingress.kubernetes.io/backend-protocol": "GRPC"}  # fmt: skip
    assert only(routes, "GRPCRoute")["spec"]["rules"] == [
        {"matches": [{"method": {"service": "inference.GRPCInferenceService"}}],
         "backendRefs": [{"name": "shop-sizewise", "port": 8001}]}]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "quantity", "threshold"),
    [(0.005, "5m", "0.005"), (0.0155, "15500u", "0.0155"), (0.00005, "50u", "0.00005"),
     (1e-7, "100n", "0.0000001"), (3.37, "3370m", "3.37"), (16, "16000m", "16"),
     (100, "100000m", "100")],
)  # fmt: skip
def test_targets_are_rendered_exactly_and_without_an_exponent(target, quantity, threshold):
    scaling = {"enabled": True, "targetQueueSeconds": target, "targetRequestsInFlight": None}
    hpa = only(objects({"autoscaling": scaling}), "HorizontalPodAutoscaler")["spec"]
    keda = {**scaling, "kind": "keda", "keda": PROMETHEUS}
    scaled = only(objects({"autoscaling": keda}), "ScaledObject")["spec"]

    assert hpa["metrics"][0]["pods"]["target"]["averageValue"] == quantity
    assert scaled["triggers"][0]["metadata"]["threshold"] == threshold


def test_keda_gets_its_credentials_in_every_trigger():
    own = objects(SETS["KEDA with a token"])
    shared = only(objects(SETS["KEDA with credentials of the cluster"]), "ScaledObject")["spec"]

    assert only(own, "TriggerAuthentication")["spec"] == {"secretTargetRef": [
        {"parameter": "bearerToken", "name": "prometheus", "key": "token"}]}  # fmt: skip
    triggers = only(own, "ScaledObject")["spec"]["triggers"]
    assert [each["authenticationRef"] for each in triggers] == 2 * [{"name": "shop-sizewise"}]
    assert {each["metadata"]["authModes"] for each in triggers} == {"bearer"}
    assert shared["triggers"][1]["authenticationRef"]["kind"] == "ClusterTriggerAuthentication"


@pytest.mark.parametrize(
    ("peers", "prometheus", "ingress"),
    [
        ([{"podSelector": {}}], True, True),
        ([PEER], False, True),
        ([{"namespaceSelector": {"matchLabels": {"name": "ingress-nginx"}}}], True, False),
        ([{"ipBlock": {"cidr": "10.0.0.0/8"}}], False, False),
        ([{"namespaceSelector": {}}], False, False),
    ],
)
def test_the_notes_warn_of_callers_that_the_network_policy_keeps_out(
    peers, prometheus, ingress, tmp_path
):
    values = {"networkPolicy": {"enabled": True, "from": peers},
              "serviceMonitor": {"enabled": True},
              "ingress": {"enabled": True, "hosts": ["a.example.com"]}}  # fmt: skip
    path = tmp_path / "values.yaml"
    path.write_text(json.dumps(values))
    done = helm("4", "install", "shop", CHART, "--dry-run=client", "--values", path)
    assert done.returncode == 0, done.stderr

    assert ("looks like Prometheus" in done.stdout) == prometheus
    assert ("looks like an ingress controller" in done.stdout) == ingress
