"""Pods are replaced by an upgrade after a Secret changed that they read at their start alone."""

import base64

import pytest
import yaml

from tests.support.cluster_api import cluster
from tests.support.helm import template

VALUES = {
    "apiKey": {"existingSecret": "key"},
    "admin": {"existingSecret": "admin"},
    "callers": {"existingSecret": "callers"},
    "models": [{"family": "topics", "url": "s3://bucket/topics"}],
    "fetch": {"secretName": "bucket"},
    "trustedKeys": {"existingSecret": "signers"},
    "podAnnotations": {"team": "nlp"},
}
ALL = ("key", "admin", "callers", "bucket", "signers")


def annotations(version, folder, changed=(), present=ALL):
    secrets = {
        ("models", name): {"key": base64.b64encode(str(name in changed).encode()).decode()}
        for name in present
    }
    with cluster(folder, secrets) as kubeconfig:
        done = template(version, VALUES, "--dry-run=server", "--disable-openapi-validation",
                        "--kubeconfig", kubeconfig)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (deployment,) = (
        each for each in yaml.safe_load_all(done.stdout) if each and each["kind"] == "Deployment"
    )
    return deployment["spec"]["template"]["metadata"]["annotations"]


@pytest.mark.parametrize("version", ["3", "4"])
def test_each_secret_that_is_read_at_the_start_changes_its_own_checksum(version, tmp_path):
    before = annotations(version, tmp_path)
    read = {f"checksum/{name}" for name in ALL if name != "callers"}
    assert set(before) == {*read, "team"}
    assert annotations(version, tmp_path) == before

    after = annotations(version, tmp_path, changed=("admin", "callers"))
    assert [name for name in before if after[name] != before[name]] == ["checksum/admin"]


@pytest.mark.parametrize("version", ["3", "4"])
def test_a_secret_that_is_not_there_yet_has_no_checksum(version, tmp_path):
    assert annotations(version, tmp_path, present=()) == {"team": "nlp"}
