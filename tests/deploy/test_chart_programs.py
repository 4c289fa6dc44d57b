"""What the chart's containers run, run here as rendered, against a real server; and its PromQL,
asked of promtool. Only addresses and folders are replaced.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from loadtest.measure.workload import poisson_arrivals_s
from serving.bundles.registry import read_registry
from tests.support.api_keys import write_callers
from tests.support.helm import CHART, container, objects, of_file, only, variables
from tests.support.processes import ROOT, free_port, serving

SERVER = "http://shop-sizewise:80"
KEY = "a-long-secret"


def argv(container, replaced):
    """Its command line for this machine: other beginnings of words, and this Python."""
    words = [*container["command"], *container.get("args", [])]
    for old, new in {"python": sys.executable, **replaced}.items():
        words = [re.sub(f"^{re.escape(old)}", str(new), word) for word in words]
    return words


def start(words, **environ):
    return subprocess.Popen(
        words, cwd=ROOT, env=os.environ | environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_the_test_pod_classifies_and_fails_without_the_key(tiny_registry):
    pod = only(objects({"apiKey": {"existingSecret": "key"}}), "Pod")
    with serving(tiny_registry, api_key=KEY) as server:
        words = argv(pod["spec"]["containers"][0], {SERVER: server.url})
        right = start(words, SIZEWISE_API_KEY=KEY)
        wrong = start(words, SIZEWISE_API_KEY="another-secret")
        said = right.communicate(timeout=30)[0], wrong.communicate(timeout=30)[0]

    assert (right.returncode, wrong.returncode) == (0, 1)
    assert "'label': " in said[0]
    assert "401" in said[1]


def test_the_test_pod_sends_a_callers_key_and_without_one_expects_to_be_refused(
    tiny_registry, tmp_path
):
    callers = tmp_path / "callers.json"
    key = write_callers(callers, web={})["web"]["Authorization"].removeprefix("Bearer ")
    values = {"callers": {"existingSecret": "callers"}}
    keyless = only(objects(values), "Pod")["spec"]["containers"][0]
    keyed = only(objects(values | {"tests": {"existingSecret": "web"}}), "Pod")["spec"]
    assert "env" not in keyless
    assert variables(keyed["containers"][0])["SIZEWISE_API_KEY"] == {
        "secretKeyRef": {"name": "web", "key": "api-key"}
    }

    with serving(tiny_registry, callers=callers) as server:
        refused = start(argv(keyless, {SERVER: server.url}))
        answered = start(argv(keyed["containers"][0], {SERVER: server.url}), SIZEWISE_API_KEY=key)
        said = refused.communicate(timeout=60)[0], answered.communicate(timeout=60)[0]
    with serving(tiny_registry) as server:
        open_to_all = start(argv(keyless, {SERVER: server.url}))
        said = (*said, open_to_all.communicate(timeout=60)[0])

    assert (refused.returncode, answered.returncode, open_to_all.returncode) == (0, 0, 1), said
    assert "'label': " in said[1]


@pytest.mark.alone  # Locust gives its workers a time to begin, whatever else runs
@pytest.mark.parametrize(("requests_per_s", "workers"), [(0, 1), (40, 2)])
def test_the_load_tests_master_and_workers_load_the_server(tiny_registry, requests_per_s, workers):
    values = {"enabled": True, "workers": workers, "users": 4, "seconds": 2, "model": "tone",
              "variant": "tiny", "requestsPerSecond": requests_per_s}  # fmt: skip
    found = objects({"loadTest": values})
    pods = {
        role: found["Job", f"shop-sizewise-loadtest-1-{role}"]["spec"]["template"]["spec"]
        for role in ("master", "worker")
    }
    master, worker = (pod["containers"][0] for pod in pods.values())
    port = free_port()
    with serving(tiny_registry) as server:
        at = ["--master-port", str(port)]
        replaced = {SERVER: server.url, "shop-sizewise-loadtest-1": "127.0.0.1"}
        bind = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)]
        running = [start([*argv(master, replaced), *bind])]
        running += [start([*argv(worker, replaced), *at]) for _ in range(workers)]
        said = [each.communicate(timeout=60)[0] for each in running]
        metrics = server.metrics()

    assert [each.returncode for each in running] == [0] * (1 + workers), "\n".join(said)
    (sent, failed) = re.search(r"Aggregated +(\d+) +(\d+)\(", said[0]).groups()
    answered = re.search(
        r'requests_total\{code="200",endpoint="/v1/classify",model="tone",[^}]*\} (\S+)', metrics
    )[1]
    assert failed == "0"
    assert int(sent) == float(answered) > 20
    if requests_per_s:
        assert int(sent) == poisson_arrivals_s(requests_per_s, 2.0, seed=0).size


def test_families_from_an_url_and_from_an_image_reach_the_registry(tmp_path, tiny_registry):
    source = shutil.copytree(tiny_registry / "tone", tmp_path / "remote" / "tone")
    for model in (
        {"url": "s3://models/tone"},
        {"image": {"reference": "tone:1", "path": str(source)}},
    ):
        found = objects({"models": [{"family": "tone", **model}], "variants": ["tiny"]})
        (way,) = only(found, "Deployment")["spec"]["template"]["spec"]["initContainers"]
        here = tmp_path / next(iter(model))
        here.mkdir()
        done = start(argv(way, {"/registry": here, "s3://models/tone": source.as_uri()}))
        said, _ = done.communicate(timeout=60)

        assert done.returncode == 0, said
        assert read_registry(here, ["tiny"]).keys() == {"tone"}
        assert variables(container(found))["SIZEWISE_REGISTRY"] == "/registry"
        mounts = {each["mountPath"]: each for each in container(found)["volumeMounts"]}
        assert mounts["/registry/tone"] == {
            "mountPath": "/registry/tone", "name": "registry", "subPath": "tone", "readOnly": True,
        }  # fmt: skip


def test_traffic_and_policy_of_the_values_are_written_beside_the_bundles(tmp_path, tiny_registry):
    shutil.copytree(tiny_registry / "tone", tmp_path / "tone")
    (tmp_path / "tone" / "policy.json").write_text("{}")
    (tmp_path / "tone" / "policy.json").chmod(0o400)
    given = {"traffic": {"tiny": {"version": "62d70871628b9586"}}, "policy": {"min_accuracy": 0.8}}
    model = {"family": "tone", "image": {"reference": "tone:1", "path": "/tone"}, **given}
    (_, writes) = only(objects({"models": [model]}), "Deployment")["spec"]["template"]["spec"][
        "initContainers"
    ]

    words = argv(writes, {})
    words[-1] = words[-1].replace("/registry/", f"{tmp_path}/")
    done = start(words)
    said, _ = done.communicate(timeout=30)

    assert done.returncode == 0, said
    for name, content in given.items():
        assert json.loads((tmp_path / "tone" / f"{name}.json").read_text()) == content


def test_variants_of_several_families_are_not_asked_of_each():
    models = [{"family": name, "url": f"s3://b/{name}"} for name in ("a", "b")]
    pod = only(objects({"models": models, "variants": ["x"]}), "Deployment")["spec"]["template"]

    for way in pod["spec"]["initContainers"]:
        assert not any("--variants" in word for word in way["command"])


# Two pods of the release, one without traffic, and one of another release whose name is longer.
# Queue: (30 s / 600 texts, 0), both rates over a minute; in flight: 3 and 1.
PODS = {"shop-sizewise-6d4cf56db6-abcde": (30, 600, 3), "shop-sizewise-6d4cf56db6-fghij": (0, 0, 1),
        "shop-sizewise-b-6d4cf56db6-klmno": (60, 60, 50)}  # fmt: skip


def scraped(pod, sums, texts, in_flight):
    labels = f'namespace="models",pod="{pod}"'
    parts = f'{{{labels},variant="tiny"}}', f'{{{labels},variant="big"}}'
    for part in parts:  # each variant has half of it
        yield f"sizewise_queue_duration_seconds_sum{part}", f"0+{sums / 8}x8"
        yield f"sizewise_queue_duration_seconds_count{part}", f"0+{texts / 8}x8"
    yield f"sizewise_requests_in_flight{{{labels}}}", f"{in_flight}x8"


def evaluated(folder, expected):
    """Runs promtool on expression -> samples, two minutes into the life of PODS."""
    series = [
        {"series": name, "values": values}
        for pod, figures in PODS.items()
        for name, values in scraped(pod, *figures)
    ]
    cases = [
        {"expr": expression, "eval_time": "2m", "exp_samples": samples}
        for expression, samples in expected.items()
    ]
    tests = [{"interval": "15s", "input_series": series, "promql_expr_test": cases}]
    (folder / "test.yaml").write_text(
        yaml.safe_dump({"evaluation_interval": "15s", "tests": tests})
    )
    tool = shutil.which("promtool")
    if not tool:
        pytest.skip("promtool is missing: apt-get install --no-install-recommends prometheus")
    done = subprocess.run(
        [tool, "test", "rules", folder / "test.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_adapter_gives_the_hpa_its_metrics_of_each_pod(tmp_path):
    rules = yaml.safe_load((ROOT / "docs" / "prometheus-adapter.yaml").read_text())
    queries = {each["name"]["as"]: each["metricsQuery"] for each in rules["rules"]["custom"]}
    hpa = only(of_file(CHART / "ci" / "everything-values.yaml"), "HorizontalPodAutoscaler")
    assert queries.keys() == {each["pods"]["metric"]["name"] for each in hpa["spec"]["metrics"]}

    def asked(metric):
        """As the adapter asks for the pods of one HPA."""
        pods = f'namespace="models",pod=~"{"|".join(list(PODS)[:2])}"'
        return queries[metric].replace("<<.LabelMatchers>>", pods).replace("<<.GroupBy>>", "pod")

    def samples(*values):
        names = list(PODS)[:2]
        return [
            {"labels": f'{{pod="{n}"}}', "value": v} for n, v in zip(names, values, strict=True)
        ]

    evaluated(tmp_path, {
        asked("sizewise_queue_seconds"): samples(0.05, 0),
        asked("sizewise_requests_in_flight"): samples(3, 1),
    })  # fmt: skip


def test_keda_asks_prometheus_for_the_sum_over_the_pods_of_this_release_alone(tmp_path):
    scaled = only(of_file(CHART / "ci" / "keda-url-values.yaml"), "ScaledObject")["spec"]
    triggers = {each["name"]: each["metadata"] for each in scaled["triggers"]}
    assert {name: each["threshold"] for name, each in triggers.items()} == {
        "queue": "0.015", "in-flight": "3.37", "demand": "1",
    }  # fmt: skip

    evaluated(tmp_path, {
        triggers["queue"]["query"]: [{"labels": "{}", "value": 0.05}],
        triggers["in-flight"]["query"]: [{"labels": "{}", "value": 4}],
    })  # fmt: skip


def test_the_example_for_kserve_runs_as_the_chart_does():
    runtime = yaml.safe_load((ROOT / "docs/kserve/serving-runtime.yaml").read_text())
    service = yaml.safe_load((ROOT / "docs/kserve/inference-service.yaml").read_text())
    (served,) = runtime["spec"]["containers"]
    ours = container(of_file(CHART / "ci" / "default-values.yaml"))

    given = variables(served)
    assert given == variables(ours) | {"SIZEWISE_REGISTRY": "/mnt/models"}
    assert served["resources"] == ours["resources"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert served[probe]["httpGet"]["path"] == ours[probe]["httpGet"]["path"]
        assert served[probe]["httpGet"]["port"] == served["ports"][0]["containerPort"]
    (takes,) = runtime["spec"]["supportedModelFormats"]
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"] == {"name": takes["name"], "version": takes["version"]}
