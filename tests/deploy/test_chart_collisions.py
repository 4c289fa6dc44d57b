"""Values that collide with what the chart has, and others that contradict each other."""

import json

import pytest

from tests.support.helm import template

GRPC = {"enabled": True}
ADMIN = {"existingSecret": "admin"}
URL = {"family": "a", "url": "s3://b/a"}
KEDA = {"enabled": True, "kind": "keda"}


def sidecar(name, port):
    return {"name": name, "image": "i:1", "ports": [{"containerPort": port}]}


BAD = [
    ({"grpc": {**GRPC, "port": 8000}},
     "grpc.port is 8000, which is the port of HTTP: choose another"),
    ({"admin": {**ADMIN, "port": 8000}}, "admin.port is 8000, which is the port of HTTP"),
    ({"grpc": GRPC, "admin": {**ADMIN, "port": 8001}},
     "admin.port is 8001, which is grpc.port: choose another"),
    ({"sidecars": [sidecar("proxy", 8000)]},
     "a port of the sidecar proxy is 8000, which is the port of HTTP"),
    ({"sidecars": [sidecar("a", 9000), sidecar("b", 9000)]},
     "a port of the sidecar b is 9000, which is a port of the sidecar a"),
    ({"grpc": {**GRPC, "port": 80}}, "service.port and grpc.port are both 80"),
    ({"service": {"type": "NodePort", "nodePort": 30001, "grpcNodePort": 30001}},
     "service.nodePort and service.grpcNodePort are both 30001"),
    ({"service": {"nodePort": 30001}}, "service.nodePort is set, but service.type is ClusterIP"),
    ({"extraEnv": [{"name": "SIZEWISE_DRAIN_MS", "value": "1"}]},
     "extraEnv has SIZEWISE_DRAIN_MS: set settings.drain_ms"),
    ({"extraEnv": 2 * [{"name": "NODE", "value": "1"}]},
     "extraEnv: NODE is there twice, or the chart itself has it"),
    ({"sidecars": [{"name": "server", "image": "i:1"}]}, "sidecars: server is there twice"),
    ({"models": [URL], "fetch": {"everySeconds": 9},
      "sidecars": [{"name": "fetch-0", "image": "i:1"}]}, "sidecars: fetch-0 is there twice"),
    ({"models": [URL], "initContainers": [{"name": "model-0", "image": "i:1"}]},
     "initContainers: model-0 is there twice"),
    ({"tuning": {"job": {"enabled": True}}, "initContainers": [{"name": "tune", "image": "i:1"}]},
     "initContainers: tune is there twice"),
    ({"initContainers": [{"name": "server", "image": "i:1"}]},
     "sidecars and initContainers: server is there twice"),
    ({"extraVolumes": [{"name": "tmp", "emptyDir": {}}]}, "extraVolumes: tmp is there twice"),
    ({"extraVolumes": [{"name": "x", "emptyDir": {}}],
      "extraVolumeMounts": 2 * [{"name": "x", "mountPath": "/x"}]},
     "extraVolumeMounts: /x is there twice"),
    ({"fetch": {"everySeconds": 60}}, "fetch.everySeconds is set, but no model has a url"),
    ({"models": [{"family": "a", "pvc": {"claimName": "c"}, "policy": {"min_accuracy": 0.8}}]},
     "models[0] (a) is on a claim, which is mounted read-only"),
    ({"models": [{**URL, "traffic": {"v": {"version": "62d70871628b9586"}}}],
      "fetch": {"everySeconds": 60}},
     "models[0] (a) has traffic or policy, and fetch.everySeconds mirrors those of the url"),
    ({"grpcRoute": {"enabled": True}, "grpc": GRPC}, "grpcRoute is enabled without a gateway"),
    ({"grpcRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}}, "set grpc.enabled to true"),
    ({"grpc": GRPC, "ingress": {"grpc": {"hosts": ["a"]}}}, "set ingress.enabled to true"),
    ({"resources": {"limits": {"nvidia.com/mig-1g.5gb": 1}}},
     "resources.limits has nvidia.com/mig-1g.5gb, but device is cpu"),
    ({"device": "gpu", "resources": {"limits": {"nvidia.com/gpu": 0}}}, "device is gpu: set"),
    ({"autoscaling": {**KEDA, "keda": {"serverAddress": "http://p", "authModes": "bearer"}}},
     "autoscaling.keda.authModes is set without credentials"),
    ({"autoscaling": {**KEDA, "keda": {
        "serverAddress": "http://p", "authenticationRef": {"name": "a"},
        "secretTargetRef": [{"parameter": "token", "name": "secret", "key": "key"}]}}},
     "autoscaling.keda has authenticationRef and secretTargetRef"),
]  # fmt: skip


@pytest.mark.parametrize("version", ["3", "4"])
@pytest.mark.parametrize(("values", "sentence"), BAD, ids=lambda each: json.dumps(each)[:60])
def test_values_that_collide_are_refused_with_the_reason(values, sentence, version):
    done = template(version, values)

    assert done.returncode != 0
    assert sentence in done.stderr
