"""Where pods keep what warm-up measures, and the Job that measures before them."""

import json

import pytest

from serving.__main__ import main
from serving.runtime import config_map
from tests.support.config_map_api import NAME, api
from tests.support.helm import objects, only, variables

PATH = "/var/lib/sizewise-tuning"
JOB = {"job": {"enabled": True}}
SECRETS = {
    "apiKey": {"existingSecret": "key-of-all"},
    "callers": {"existingSecret": "callers"},
    "admin": {"existingSecret": "admin"},
    "tracing": {"enabled": True, "endpoint": "http://collector:4318"},
    "grpc": {"enabled": True},
}
PODS = {
    "models": [{"family": "a", "url": "s3://b/a"}, {"family": "b", "pvc": {"claimName": "c"}}],
    "trustedKeys": {"existingSecret": "signers"},
    "settings": {"engine": "onnxruntime"},
    "resources": {"limits": {"cpu": "3", "memory": "1Gi"}},
    "nodeSelector": {"pool": "cpu"},
    "tolerations": [{"key": "cpu", "operator": "Exists"}],
    "affinity": {"podAffinity": {}},
    "priorityClassName": "high",
    "runtimeClassName": "fast",
    "imagePullSecrets": [{"name": "pull"}],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
    "extraVolumes": [{"name": "ca", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    "initContainers": [{"name": "wait", "image": "i:1"}],
    "sidecars": [{"name": "proxy", "image": "i:1"}],
    "podLabels": {"team": "nlp", "app.kubernetes.io/component": "server"},
}  # fmt: skip


def jobs_of(values):
    return [each for (kind, _), each in objects(values).items() if kind == "Job"]


def job_and_pod(values):
    """The specs of the Job's pod and of a server's."""
    found = objects({"tuning": JOB} | values)
    return (only(found, kind)["spec"]["template"]["spec"] for kind in ("Job", "Deployment"))


def pod_of(**tuning):
    pod = only(objects({"tuning": tuning}), "Deployment")["spec"]["template"]["spec"]
    server = pod["containers"][0]
    (variable,) = (each for each in server["env"] if each["name"] == "SIZEWISE_TUNING")
    mounts = [each for each in server["volumeMounts"] if each["name"] == "tuning"]
    volumes = [each for each in pod["volumes"] if each["name"] == "tuning"]
    return variable["value"], mounts, volumes


@pytest.mark.parametrize(
    ("value", "source", "rights"),
    [
        (
            {"hostPath": "/var/lib/sizewise"},
            {"hostPath": {"path": "/var/lib/sizewise", "type": "Directory"}},
            {},
        ),
        ({"existingConfigMap": "tuned"}, {"configMap": {"name": "tuned"}}, {"readOnly": True}),
        (JOB, {"configMap": {"name": "shop-sizewise-tuning"}}, {"readOnly": True}),
    ],
)
def test_pods_share_a_folder_of_their_node_or_a_config_map(value, source, rights):
    path, mounts, volumes = pod_of(**value)

    assert path == PATH
    assert mounts == [{"name": "tuning", "mountPath": PATH, **rights}]
    assert volumes == [{"name": "tuning", **source}]


def test_without_a_place_each_pod_measures():
    assert pod_of() == ("", [], [])


def test_the_job_runs_bundles_as_a_pod_does():
    job, pod = job_and_pod(PODS)
    (tuner,), server = job["containers"], pod["containers"][0]

    same = ("image", "imagePullPolicy", "resources", "securityContext", "envFrom")
    assert {name: tuner[name] for name in same} == {name: server[name] for name in same}
    for name in (
        "initContainers", "nodeSelector", "tolerations", "affinity", "priorityClassName",
        "runtimeClassName", "imagePullSecrets", "securityContext", "enableServiceLinks",
    ):  # fmt: skip
        assert job[name] == pod[name]
    assert variables(tuner) == variables(server) | {"SIZEWISE_TUNING": "/tmp/tuning"}
    own = [each for each in tuner["volumeMounts"] if each["name"] != "tuning"]
    assert own == [each for each in server["volumeMounts"] if each["name"] != "tuning"]
    own = [each for each in job["volumes"] if each["name"] != "tuning"]
    assert own == [each for each in pod["volumes"] if each["name"] != "tuning"]


def test_without_a_limit_both_take_the_cores_that_they_request():
    job, pod = job_and_pod({})

    threads = [variables(each["containers"][0])["SIZEWISE_THREADS"] for each in (job, pod)]
    assert threads == [{"resourceFieldRef": {"resource": "requests.cpu"}}] * 2


def test_the_job_reads_no_secret_of_the_server():
    job, _ = job_and_pod(SECRETS)

    assert "secret" not in json.dumps(job).lower().replace("/var/run/secrets/", "")
    assert "collector" not in json.dumps(job)


def test_only_what_measures_has_a_token_and_it_may_get_and_patch_one_config_map():
    annotations = {"example.com/role": "reader"}
    account = {"serviceAccount": {"annotations": annotations}}
    found = objects({"tuning": JOB, "models": PODS["models"]} | account)
    job = only(found, "Job")["spec"]["template"]["spec"]
    account = found["ServiceAccount", NAME]

    assert only(found, "Role")["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [NAME],
         "verbs": ["get", "patch"]}]  # fmt: skip
    binding = only(found, "RoleBinding")
    assert binding["roleRef"]["name"] == NAME
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": "models"}]
    assert "data" not in found["ConfigMap", NAME], "an upgrade would remove what the Job wrote"
    assert job["serviceAccountName"] == NAME
    assert job["automountServiceAccountToken"] is account["automountServiceAccountToken"] is False
    assert account["metadata"]["annotations"] == annotations
    (token,) = (each for each in job["volumes"] if "projected" in each)
    holders = [each["name"] for each in [*job["containers"], *job["initContainers"]]
               if token["name"] in {mount["name"] for mount in each["volumeMounts"]}]  # fmt: skip
    assert holders == ["tune"]
    sources = token["projected"]["sources"]
    assert sources[0] == {"serviceAccountToken": {"path": "token"}}
    assert sources[1]["configMap"]["name"] == "kube-root-ca.crt"


def test_a_job_runs_again_under_another_name_when_its_pod_is_another():
    def name(**values):
        (job,) = jobs_of({"tuning": JOB} | values)
        return job["metadata"]["name"]

    first = name()
    assert first.startswith(f"{NAME}-")
    assert name(replicaCount=9, service={"port": 81}) == first
    changed = [name(image={"tag": "2"}), name(settings={"engine": "openvino"}),
               name(variants=["a"]), name(models=PODS["models"]), name(nodeSelector={"a": "b"}),
               name(resources={"limits": {"cpu": 2}})]  # fmt: skip
    assert len({first, *changed}) == 1 + len(changed)
    assert len(name(fullnameOverride="a" * 80)) <= 63


def test_each_kind_of_node_has_a_job_that_no_service_selects():
    selectors = {
        "tuning": {"job": {"enabled": True, "nodeSelectors": [{"cpu": "a"}, {"cpu": "b"}]}}
    }
    found = jobs_of(PODS | selectors)
    pods = [each["spec"]["template"] for each in found]

    assert sorted(pod["spec"]["nodeSelector"]["cpu"] for pod in pods) == ["a", "b"]
    for each, pod in zip(found, pods, strict=True):
        assert pod["spec"]["nodeSelector"]["pool"] == "cpu"
        assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "tuning"
        assert pod["metadata"]["labels"]["team"] == "nlp"
        assert each["spec"]["backoffLimit"] == 2
        assert each["spec"]["activeDeadlineSeconds"] == 900


def test_the_jobs_command_fills_the_config_map(tmp_path, tiny_registry, monkeypatch, capsys):
    job, _ = job_and_pod({"settings": {"engine": "onnxruntime"}})
    (tuner,) = job["containers"]
    python, *command = tuner["command"]
    assert (python, command[:2]) == ("python", ["-m", "serving"])
    given = variables(tuner) | {
        "SIZEWISE_TUNING": str(tmp_path / "tuning"),
        "SIZEWISE_THREADS": "1",
    }
    with api(tmp_path) as cluster:
        monkeypatch.setattr(config_map, "SERVICE_ACCOUNT", cluster.account)
        for name, value in {**given, **cluster.environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("SIZEWISE_REGISTRY", str(tiny_registry))

        assert main(command[2:]) == 0
        cluster.refusals = [("GET", 403)]
        assert main(command[2:]) == 2

    printed = capsys.readouterr()
    assert f"the ConfigMap models/{NAME} holds {len(cluster.data)} files" in printed.out
    assert cluster.data
    assert {json.loads(text)["engine"] for text in cluster.data.values()} == {"onnxruntime"}
