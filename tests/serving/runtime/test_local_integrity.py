import shutil

import pytest

from serving.bundles.bundle import read_bundle
from serving.runtime.local import LocalRuntime
from serving.settings import Settings
from tests.support.bundles import write_bundle


@pytest.mark.parametrize("changed", ["tiny", "tiny@next"])
def test_of_two_folders_with_one_version_the_altered_one_stays_altered(tmp_path, changed):
    write_bundle(tmp_path / "tiny")
    shutil.copytree(tmp_path / "tiny", tmp_path / "tiny@next")
    bundles = [read_bundle(tmp_path / name) for name in ("tiny", "tiny@next")]
    runtime = LocalRuntime(Settings(registry=[tmp_path]), {})
    runtime.integrity.verify(bundles[0])
    runtime.integrity.altered(bundles)
    (tmp_path / changed / "model.onnx").write_bytes(b"altered")
    seen = []
    for _ in range(6):
        altered = runtime.integrity.altered(bundles)
        seen.append([bundle.folder.name for bundle, _ in altered])
        runtime.settle(bundles)

    assert seen == [[], *[[changed]] * 5]
