"""What Locust needs of the folder that it puts on sys.path."""

import sys

from tests.support.processes import ROOT


def test_no_module_beside_the_locustfile_hides_a_standard_one():
    names = {path.stem for path in (ROOT / "loadtest" / "measure").iterdir()}

    assert "locustfile" in names
    assert names & set(sys.stdlib_module_names) == set()
