import pytest

from tests.support.next_versions import new_home


@pytest.fixture
def home(tmp_path):
    """A family that is served, and its next versions, made elsewhere."""
    return new_home(tmp_path)
