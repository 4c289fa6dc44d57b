import subprocess
import sys

import pytest

from models.recipe import STAGES
from models.runners import RUNNERS
from models.source_hashes import ROOT

STAGE_FILES = {path.stem for path in (ROOT / "models" / "stages").glob("*.py")} - {"__init__"}


def test_every_stage_of_a_recipe_is_a_module_and_has_a_runner():
    assert set(STAGES) == STAGE_FILES == set(RUNNERS)


@pytest.mark.parametrize("stage", STAGES)
def test_a_runner_passes_its_job_to_the_stage(stage):
    class Opened(Exception):
        pass

    class Job:
        def __getattr__(self, name):
            raise Opened(name)

    with pytest.raises(Opened):
        RUNNERS[stage](Job())


def test_the_runners_load_no_stage_before_it_runs():
    program = "import sys, models.runners; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    assert "models.stages" not in loaded
    assert not {"torch", "transformers", "onnx"} & set(loaded)
