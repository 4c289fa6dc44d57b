"""A server that trusts a key: what it serves, refuses and says."""

import shutil

import pytest

from models.signing import sign
from tests.support.bundles import write_bundle
from tests.support.processes import serving
from tests.support.registries import models, wait_for
from tests.support.signed import new_keys, signed_registry


@pytest.fixture
def keys(tmp_path):
    return new_keys(tmp_path, "team")


def variants(server):
    return {each["variant"] for model in models(server)["models"] for each in model["variants"]}


def test_an_unsigned_bundle_is_refused_with_its_reason_and_served_once_it_is_signed(tmp_path, keys):
    registry = signed_registry(tmp_path / "registry", keys[0])
    unsigned = registry / "tone" / "small"
    write_bundle(tmp_path / "small", variant="small", scale=3.0)
    shutil.copytree(tmp_path / "small", unsigned)

    with serving(registry, trusted_keys=keys[1], scan_ms=100) as server:
        assert variants(server) == {"tiny", "wide"}
        assert 'sizewise_refused_bundles{model="tone"} 1.0' in server.metrics()
        (reason,) = models(server)["refused"].values()
        assert "is not signed" in reason
        assert "is not signed" in server.log_path.read_text()

        sign(unsigned, keys[0])
        wait_for(lambda: "small" in variants(server))


def test_a_server_without_any_signed_bundle_does_not_start(keys, tiny_registry):
    with serving(tiny_registry, wait_ready=False, trusted_keys=keys[1]) as server:
        status = server.process.wait(30)

        assert status == 2
        said = server.log_path.read_text()
        assert "all 2 bundles are refused:\n- " in said
        assert [line.startswith("- ") for line in said.splitlines() if "is not signed" in line] == [
            True,
            True,
        ]


def test_a_key_that_cannot_be_read_ends_the_start_in_one_sentence(tmp_path, tiny_registry):
    with serving(tiny_registry, wait_ready=False, trusted_keys=tmp_path / "no.pem") as server:
        status = server.process.wait(30)

        assert status == 2
        assert "SIZEWISE_TRUSTED_KEYS" in server.log_path.read_text()
        assert "Traceback" not in server.log_path.read_text()
