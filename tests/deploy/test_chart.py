"""The chart's objects, rendered by Helm 3 and 4 and held against Kubernetes' own schemas, the
server's settings and the simulated autoscaler. No cluster takes part.
"""

import re
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor

from loadtest.sizing.helm_values import upgrade_command
from loadtest.sizing.hpa import Behaviour
from serving.server.supervisor import EXIT_S
from serving.settings import read_settings
from tests.support.helm import (
    CHART,
    CI,
    container,
    helm,
    objects,
    of_file,
    only,
    template,
    variables,
)

KUBERNETES = [f"1.{minor}" for minor in range(29, 38)]
CUSTOM = {"ScaledObject": ScaledObject, "PrometheusRule": PrometheusRule,
          "ServiceMonitor": ServiceMonitor}  # fmt: skip

each_file = pytest.mark.parametrize("path", CI, ids=lambda path: path.stem)
both_helms = pytest.mark.parametrize("version", ["3", "4"])


def ci(name):
    return of_file(CHART / "ci" / f"{name}-values.yaml")


@both_helms
@each_file
def test_lint_finds_nothing_in_any_way_of_deploying(path, version):
    done = helm(version, "lint", "--strict", CHART, "--values", path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search(r"\[(WARNING|ERROR)\]", done.stdout + done.stderr)


@each_file
def test_helm_3_and_helm_4_render_the_same(path):
    assert of_file(path, "3") == of_file(path, "4")


@pytest.mark.parametrize("kubernetes", KUBERNETES)
def test_every_object_is_one_of_this_kubernetes(kubernetes):
    checked = 0
    for path in CI:
        for (kind, _), each in of_file(path).items():
            if kind not in {*CUSTOM, "HTTPRoute"}:
                kubernetes_validate.validate(each, kubernetes, strict=True)
                checked += 1
    assert checked > 40


@both_helms
def test_an_older_kubernetes_is_refused(version):
    assert template(version, {}, "--kube-version", "1.29.0").returncode == 0
    assert "chart requires kubeVersion: >=1.29" in template(
        version, {}, "--kube-version", "1.28.9"
    ).stderr  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("everything", "ServiceMonitor"),
        ("everything", "PrometheusRule"),
        ("keda-url", "ScaledObject"),
    ],
)
def test_custom_resources_hold_no_field_that_their_definition_lacks(name, kind):
    each = only(ci(name), kind)

    known = CUSTOM[kind].model_validate(each)
    assert known.model_dump(by_alias=True, exclude_unset=True, mode="json") == each


def test_the_httproute_sends_the_api_to_the_service():
    assert only(ci("httproute-pvc-image"), "HTTPRoute")["spec"] == {
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hostnames": ["classify.example.com"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/v1/"}}],
                "backendRefs": [{"name": "shop-sizewise", "port": 80}],
            }
        ],
    }


@each_file
def test_the_server_takes_the_environment_of_its_container(path):
    given = variables(container(of_file(path)))
    given = {name: value if isinstance(value, str) else "12345678" if "KEY" in name else "1"
             for name, value in given.items()}  # fmt: skip

    settings, injected = read_settings(given)

    assert injected == []
    assert settings.device == ("cuda" if path.stem == "gpu-values" else "cpu")


@each_file
def test_a_pod_has_no_rights_and_knows_when_it_is_ready_alive_and_done(path):
    pod = only(of_file(path), "Deployment")["spec"]["template"]["spec"]
    server = container(of_file(path))

    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    for each in [*pod["containers"], *pod.get("initContainers", [])]:
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not each["image"].endswith(":latest")
    assert server["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert server["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    start = server["startupProbe"]
    expected_s = 120 if path.stem == "everything-values" else 300
    assert start["periodSeconds"] * start["failureThreshold"] == expected_s
    settings, _ = read_settings(
        {name: value for name, value in variables(server).items() if name.endswith("_MS")}
    )
    stopping_ms = settings.shutdown_delay_ms + settings.drain_ms
    assert 1000 * pod["terminationGracePeriodSeconds"] >= stopping_ms + 1000 * EXIT_S


@each_file
def test_who_sets_the_replicas_is_never_two(path):
    found = of_file(path)
    kinds = {kind for kind, _ in found}

    scaled = bool(kinds & {"HorizontalPodAutoscaler", "ScaledObject"})
    assert scaled == (path.stem in {"everything-values", "keda-url-values"})
    assert ("replicas" in only(found, "Deployment")["spec"]) == (not scaled)


@pytest.mark.parametrize(
    ("values", "protected"),
    [
        ({}, True),
        ({"replicaCount": 1}, False),
        ({"replicaCount": 1, "autoscaling": {"enabled": True}}, True),
        ({"autoscaling": {"enabled": True, "minReplicas": 1}}, False),
        ({"podDisruptionBudget": {"enabled": False}}, False),
    ],
)
def test_a_single_pod_has_no_disruption_budget(values, protected):
    kinds = {kind for kind, _ in objects(values)}

    assert ("PodDisruptionBudget" in kinds) == protected


def test_what_a_bare_cluster_lacks_is_off():
    assert {kind for kind, _ in ci("default")} == {
        "Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "Pod",
    }  # fmt: skip


def test_the_api_key_comes_from_a_secret_and_variants_and_threads_from_values():
    given = variables(container(ci("everything")))
    assert given["SIZEWISE_API_KEY"] == {"secretKeyRef": {"name": "classifier-key", "key": "key"}}
    assert given["SIZEWISE_VARIANTS"] == "medium-int8,small-int8"
    assert given["SIZEWISE_MAX_BODY_BYTES"] == "10485760"
    assert "SIZEWISE_THREADS" not in given  # there is a CPU limit, and the server reads it

    given = variables(container(ci("default")))
    assert given["SIZEWISE_THREADS"] == {"resourceFieldRef": {"resource": "requests.cpu"}}
    assert "SIZEWISE_API_KEY" not in given


def test_the_service_finds_the_servers_and_nothing_else():
    found = ci("loadtest")
    selector = found["Service", "shop-sizewise"]["spec"]["selector"]
    pods = [("server", only(found, "Deployment")["spec"]["template"]), ("test", only(found, "Pod"))]
    pods += [(name, each["spec"]["template"]) for (kind, name), each in found.items()
             if kind == "Job"]  # fmt: skip

    chosen = [name for name, pod in pods if selector.items() <= pod["metadata"]["labels"].items()]
    assert (chosen, len(pods)) == (["server"], 4)


def test_images_follow_the_device_and_the_role():
    def images(values):
        return set(re.findall(r"image: (\S+)", template("4", values).stdout))

    url = {"models": [{"family": "a", "url": "s3://b/a"}], "loadTest": {"enabled": True}}
    gpu = {"device": "gpu", "image": {"repository": "r/s", "tag": "2"},
           "resources": {"limits": {"nvidia.com/gpu": 1}}}  # fmt: skip
    digest = "sha256:" + "0" * 64
    assert images(url) == {
        '"sizewise:0.1.0"',
        '"sizewise:0.1.0-fetch"',
        '"sizewise:0.1.0-loadtest"',
    }
    assert images(gpu) == {'"r/s:2-gpu"'}
    assert images({"image": {"digest": digest}}) == {f'"sizewise@{digest}"'}


def test_the_hpa_behaves_as_it_was_simulated():
    def policies(side):
        return [(each["type"], each["value"], each["periodSeconds"]) for each in side["policies"]]

    hpa = only(ci("everything"), "HorizontalPodAutoscaler")["spec"]
    keda = only(ci("keda-url"), "ScaledObject")["spec"]["advanced"]
    for behaviour in (hpa["behavior"], keda["horizontalPodAutoscalerConfig"]["behavior"]):
        up, down, simulated = behaviour["scaleUp"], behaviour["scaleDown"], Behaviour()
        assert policies(up) == [(p.kind, p.value, p.period_s) for p in simulated.up]
        assert policies(down) == [(p.kind, p.value, p.period_s) for p in simulated.down]
        assert up["stabilizationWindowSeconds"] == simulated.up_window_s
        assert down["stabilizationWindowSeconds"] == simulated.down_window_s
        assert (up["selectPolicy"], down["selectPolicy"]) == ("Max", "Max")


def test_the_dashboard_is_embedded_word_for_word():
    found = ci("everything")

    assert only(found, "ConfigMap")["data"]["classifier.json"].strip() == (
        (CHART / "dashboard.json").read_text().strip()
    )


@pytest.mark.parametrize("path", CI, ids=lambda path: path.stem)
def test_the_notes_name_the_release(path):
    done = helm("4", "install", "shop", CHART, "--dry-run=client", "--namespace", "models",
                "--values", path)  # fmt: skip
    notes = done.stdout.partition("NOTES:")[2]

    name = "classifier" if path.stem == "everything-values" else "shop-sizewise"
    assert f"kubectl -n models rollout status deployment/{name}" in notes
    assert ("Authorization: Bearer" in notes) == ("apiKey" in path.read_text())
    assert "<no value>" not in notes


@pytest.mark.parametrize(
    ("value", "is_open"),
    [
        ("tests.enabled=true", True),
        ("apiKey.existingSecret=s", False),
        ("callers.existingSecret=s", False),
    ],
)
def test_the_notes_warn_of_a_release_without_any_key_and_send_one_where_it_is_required(
    value, is_open
):
    done = helm("4", "install", "shop", CHART, "--dry-run=client", "--set", value)

    assert done.returncode == 0, done.stderr
    assert ("Anyone who can reach the Service" in done.stdout) == is_open
    assert ("Authorization: Bearer" in done.stdout) != is_open


@both_helms
def test_recommend_and_the_notes_upgrade_without_losing_what_the_release_has_set(version):
    installed = helm("4", "install", "shop", CHART, "--dry-run=client", "--namespace", "models")
    notes = installed.stdout.partition("NOTES:")[2]

    (upgrade,) = re.findall(r"helm upgrade \S+ (.*)", notes)
    recommended = upgrade_command(Path("values.recommended.yaml"))
    assert upgrade == "CHART -n models --reset-then-reuse-values -f values.recommended.yaml"
    assert recommended.split()[2:] == (
        upgrade.replace("CHART", "sizewise ./helm").replace("models", "NAMESPACE").split()
    )
    assert "--reset-then-reuse-values" in helm(version, "upgrade", "--help").stdout


def test_the_chart_packs_without_its_test_values(tmp_path):
    assert helm("4", "package", CHART, "--destination", tmp_path).returncode == 0

    (archive,) = tmp_path.glob("sizewise-*.tgz")
    names = subprocess.run(
        ["tar", "tzf", archive], capture_output=True, text=True, check=True
    ).stdout
    assert "sizewise/rules.yaml" in names
    assert "sizewise/ci/" not in names
