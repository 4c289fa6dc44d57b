"""Public keys reach what fetches bundles and what serves them."""

import pytest

from tests.support.helm import objects, only

MODELS = [
    {"family": "sentiment", "url": "s3://models/sentiment"},
    {"family": "topics", "image": {"reference": "example.com/topics:1", "path": "/topics"}},
]
MOUNT = {"name": "trusted-keys", "mountPath": "/etc/sizewise-keys", "readOnly": True}
VARIABLE = {"name": "SIZEWISE_TRUSTED_KEYS", "value": "/etc/sizewise-keys"}


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ({"existingSecret": "signers"}, {"secret": {"secretName": "signers"}}),
        ({"existingConfigMap": "signers"}, {"configMap": {"name": "signers"}}),
    ],
)
def test_what_fetches_and_what_serves_knows_the_keys(value, source):
    pod = only(objects({"models": MODELS, "trustedKeys": value}), "Deployment")["spec"]["template"]
    (fetcher,) = (each for each in pod["spec"]["initContainers"] if "fetch" in each["command"])

    assert {"name": "trusted-keys", **source} in pod["spec"]["volumes"]
    for container in (fetcher, pod["spec"]["containers"][0]):
        assert MOUNT in container["volumeMounts"]
        assert VARIABLE in container["env"]


def test_without_keys_nothing_is_mounted():
    pod = only(objects({"models": MODELS}), "Deployment")["spec"]["template"]

    assert "trusted-keys" not in str(pod)
    assert "SIZEWISE_TRUSTED_KEYS" not in str(pod)
