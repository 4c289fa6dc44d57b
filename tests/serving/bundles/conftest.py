import pytest

from tests.support.bundles import write_bundle
from tests.support.hostile_store import hostile_store


@pytest.fixture
def store(tmp_path):
    write_bundle(tmp_path / "remote" / "tone" / "tiny")
    with hostile_store(tmp_path / "remote") as store:
        yield store


@pytest.fixture
def target(tmp_path):
    """The family's folder, beside what must stay as it is."""
    (tmp_path / "models" / "neighbour").mkdir(parents=True)
    (tmp_path / "models" / "neighbour" / "kept").write_text("kept")
    (tmp_path / "outside").write_text("outside")
    return tmp_path / "models" / "tone"
