"""Finishes a bundle: its files with a manifest that says what they score and how they were made.

It does not know where the registry is; the command puts the finished folder there.
"""

import json
import shutil

from models.workshop import Job
from serving.bundle import BUNDLE_NAMES, Evaluation, read_bundle, write_manifest


def run(job: Job) -> None:
    """Write the bundle with its evaluations, recipe and build times into the manifest."""
    made = read_bundle(job.inputs["bundle"])
    for name in BUNDLE_NAMES:
        shutil.copyfile(made.folder / name, job.output / name)
    scores = json.loads((job.inputs["evaluate"] / "evaluations.json").read_text())
    fields = made.manifest.model_dump(exclude={"version", "bytes", "files"}) | {
        "recipe": job.recipe.model_dump(mode="json", exclude_none=True),
        "evaluations": {split: Evaluation(**score) for split, score in scores.items()},
        "build_seconds": job.seconds,
    }
    write_manifest(job.output, **fields)
