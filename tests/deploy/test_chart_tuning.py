"""Where pods keep what warm-up measures."""

import pytest

from tests.support.helm import objects, only

PATH = "/var/lib/sizewise-tuning"


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
    ],
)
def test_pods_share_a_folder_of_their_node_or_a_config_map(value, source, rights):
    path, mounts, volumes = pod_of(**value)

    assert path == PATH
    assert mounts == [{"name": "tuning", "mountPath": PATH, **rights}]
    assert volumes == [{"name": "tuning", **source}]


def test_without_a_place_each_pod_measures():
    assert pod_of() == ("", [], [])
