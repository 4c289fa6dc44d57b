"""A family's windows.json."""

from dataclasses import replace

import pytest

from serving.bundles.bundle import read_bundle
from serving.bundles.files import MOST_DESCRIPTION_BYTES
from serving.bundles.windows import WINDOWS_NAME, Windows, check_windows, windows_beside
from serving.errors import BundleError
from tests.support.bundles import write_bundle, write_tensor_bundle


@pytest.fixture
def bundle(tmp_path):
    write_bundle(tmp_path / "tone" / "tiny")
    return read_bundle(tmp_path / "tone" / "tiny")


def test_without_a_file_long_texts_are_refused(bundle):
    assert windows_beside(bundle) == Windows()
    assert Windows().long == "refuse"


def test_a_folder_that_is_served_as_it_is_has_no_family_around_it(bundle):
    (bundle.folder.parent / WINDOWS_NAME).write_text('{"long": "truncate"}')

    assert windows_beside(bundle).long == "truncate"
    alone = replace(bundle, elsewhere=(("manifest.json", bundle.folder / "manifest.json"),))
    assert windows_beside(alone) == Windows()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "Invalid JSON"),
        ('{"long": "fold"}', "long"),
        ('{"rule": "median"}', "rule"),
        ('{"overlap": 1}', "overlap"),
        ('{"temperatures": {"tiny": 1}}', "temperatures"),
        ('{"temperatures": {"0123456789abcdef": 0}}', "temperatures"),
        ('{"extra": 1}', "extra"),
        (" " * (MOST_DESCRIPTION_BYTES + 1), "larger than"),
    ],
)
def test_a_broken_file_is_refused_with_its_field(bundle, content, said):
    path = bundle.folder.parent / WINDOWS_NAME
    path.write_text(content)

    with pytest.raises(BundleError, match=said) as refused:
        windows_beside(bundle)
    assert str(path) in refused.value.detail


def test_a_model_of_tensors_has_no_windows(tmp_path):
    manifest = write_tensor_bundle(tmp_path / "mlp")

    check_windows(Windows(long="truncate"), [manifest])
    with pytest.raises(BundleError, match="tensors"):
        check_windows(Windows(long="windows"), [manifest])
