"""`python -m serving tune` on the tiny family, with real engines and trials."""

import io
import json
import shutil

import pytest

from serving.errors import StartError
from serving.inference.tuning import Tuning, name_of, read_tuning, text_of
from serving.runtime.config_map import config_map
from serving.runtime.tuner import tune
from serving.settings import Settings
from tests.support.bundles import write_bundle
from tests.support.config_map_api import NAME, api


@pytest.fixture
def registry(tmp_path):
    for scale, variant in enumerate(("tiny", "wide"), 1):
        write_bundle(tmp_path / "registry/tone" / variant, variant=variant, scale=scale)
    return tmp_path / "registry"


@pytest.fixture
def cluster(tmp_path):
    with api(tmp_path) as it:
        yield it


def tuned(registry, cluster=None, **settings):
    """The screen and the output of one run."""
    given = {"tuning": registry.parent / "tuning", "engine": "onnxruntime", "threads": 1}
    screen, output = io.StringIO(), io.StringIO()
    shared = cluster and config_map(NAME, cluster.environment, cluster.account)
    tune(Settings(registry=(registry,), **given | settings), screen, output, shared)
    return screen.getvalue(), output.getvalue()


def test_each_served_bundle_gets_a_file_and_a_row(registry):
    shutil.copytree(registry / "tone/tiny", registry / "tone/tiny@previous")

    screen, output = tuned(registry)

    assert "1 of 2: tone/wide\n" in screen
    assert screen.endswith("2 of 2: done\n")
    header, tiny, wide, kept, following = output.splitlines()
    assert header.split()[:3] == ["variant", "engine", "threads"]
    assert tiny.startswith("tone/tiny  onnxruntime  1 runs of 1")
    assert wide.startswith("tone/wide")
    assert kept == f"Kept in {registry.parent / 'tuning'}."
    assert f"python -m serving --registry {registry}" in following
    assert len(list((registry.parent / "tuning").iterdir())) == 2


def test_a_canary_that_is_only_named_by_traffic_json_is_tuned_too(registry):
    canary = registry / "tone/tiny@next"
    version = write_bundle(canary, variant="tiny", scale=3.0).version
    traffic = {"tiny": {"canary": {"version": version, "weight": 0.1}}}
    (registry / "tone/traffic.json").write_text(json.dumps(traffic))

    tuned(registry)

    names = {path.name.split("-")[0] for path in (registry.parent / "tuning").iterdir()}
    assert version in names
    assert len(names) == 3


def test_a_broken_bundle_is_listed_and_the_others_are_tuned(registry):
    (registry / "tone/wide/model.onnx").write_bytes(b"broken")

    screen, output = tuned(registry)

    assert f"Not tuned: {registry / 'tone/wide'}: " in screen
    assert "tone/tiny" in output
    assert "tone/wide" not in output


def test_nothing_to_keep_is_an_error(registry):
    with pytest.raises(StartError, match="SIZEWISE_TUNING is empty"):
        tuned(registry, tuning="")
    (registry.parent / "file").touch()
    with pytest.raises(StartError, match="nothing could be tuned"):
        tuned(registry, tuning=registry.parent / "file")


def of_another(text, **key):
    """(name, content) of the same file, as measured under another key."""
    tuning = Tuning.model_validate_json(text)
    other = tuning.model_copy(update={"key": tuning.key | key})
    return name_of(other.key), text_of(other)


def test_a_config_map_gets_the_files_that_a_pod_reads(registry, cluster):
    _, output = tuned(registry, cluster)

    assert output.splitlines()[-1] == (
        f"the ConfigMap models/{NAME} holds 2 files: 2 measured now, 0 removed."
    )
    mounted = registry.parent / "mounted"  # as Kubernetes mounts it, by links
    (mounted / "..2026").mkdir(parents=True)
    (mounted / "..data").symlink_to("..2026")
    for name, text in cluster.data.items():
        (mounted / "..data" / name).write_text(text)
        (mounted / name).symlink_to(f"..data/{name}")
        assert read_tuning(mounted, Tuning.model_validate_json(text).key)


def test_a_second_run_measures_nothing_and_changes_nothing(registry, cluster):
    tuned(registry, cluster)
    before, asked = dict(cluster.data), len(cluster.asked)

    _, output = tuned(registry, cluster)

    assert output == f"the ConfigMap models/{NAME} holds 2 files: 0 measured now, 0 removed.\n"
    assert cluster.data == before
    assert [method for method, *_ in cluster.asked[asked:]] == ["GET"]


def test_what_fits_no_longer_goes_and_what_fits_other_machines_stays(registry, cluster):
    tuned(registry, cluster)
    first, second = cluster.data.values()
    elsewhere = dict(
        [of_another(first, processor="arm", openvino=""), of_another(second, cores=64)]
    )
    earlier = dict([of_another(first, onnxruntime="0.1"), of_another(first, engine="auto")])
    odd = {"notes.txt": "mine", "broken.json": "{", "misnamed.json": first}
    cluster.data |= elsewhere | earlier | odd
    expected = cluster.data.keys() - earlier.keys() - odd.keys()

    _, output = tuned(registry, cluster)

    assert cluster.data.keys() == expected
    assert "holds 4 files: 0 measured now, 5 removed." in output


def test_the_files_of_an_earlier_version_go(registry, cluster):
    tuned(registry, cluster)
    cluster.data |= dict(of_another(text, processor="arm") for text in cluster.data.values())
    shutil.rmtree(registry / "tone/wide")
    tiny = write_bundle(registry / "tone/tiny", variant="tiny", scale=3.0).version

    _, output = tuned(registry, cluster)

    assert [json.loads(text)["key"]["version"] for text in cluster.data.values()] == [tiny]
    assert "holds 1 files: 1 measured now, 4 removed." in output


def test_without_rights_nothing_is_measured(registry, cluster):
    cluster.refusals = [("GET", 403)]

    with pytest.raises(StartError, match="must be allowed to get and patch it"):
        tuned(registry, cluster)

    assert not (registry.parent / "tuning").exists()
