"""Every stage by name, for the pipeline to run. A stage's libraries are imported when it runs."""

import importlib
from functools import partial

from models.job import Job, Runner
from models.recipe import STAGES, Stage


def _run(stage: Stage, job: Job) -> None:
    importlib.import_module(f"models.stages.{stage}").run(job)


RUNNERS: dict[Stage, Runner] = {stage: partial(_run, stage) for stage in STAGES}
