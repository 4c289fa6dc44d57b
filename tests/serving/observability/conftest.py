import pytest

from serving.background import FAILURES


@pytest.fixture(autouse=True)
def _no_failures_of_other_tests():
    FAILURES.take()
