"""Runs a recipe's stages, each only when something it depends on has changed.

The pipeline is handed what runs a stage (see runners.py) and imports none itself.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.data.labelled import UNLABELLED
from models.data.sources import Source, locations, resolve
from models.job import Job, Runner
from models.recipe import WEIGHTS_STAGES, Recipe, RecipeError, Stage
from models.source_hashes import ROOT, source_hashes
from serving.bundles.bundle import file_sha256
from serving.errors import BundleError

_STAMP_NAME = "stamp.json"
_READS: dict[Stage, tuple[str, ...]] = {
    "data": ("downloads",),
    "inspect": ("downloads", "data", "unlabelled"),
    "train": ("downloads", "data"),
    "adopt": ("downloads", "data"),
    "distill": ("downloads", "data", "unlabelled", "parent_weights"),
    "prune": ("data", "unlabelled", "parent_weights"),
    "sparsify": ("data", "unlabelled", "parent_weights"),
    "static": ("downloads", "data", "unlabelled", "parent_bundle"),
    "export": ("data", "weights"),
    "quantize": ("data", "parent_bundle"),
    "evaluate": ("data", "inspection", "bundle", "teacher_evaluation", "parent_evaluation"),
    "package": ("data", "bundle", "evaluation"),
}


@dataclass(frozen=True)
class Pipeline:
    """The build folder: `<family>/<variant>/<stage>/`, each with a stamp of what it was made from.

    `downloads` is the folder that models.data.downloads fills. `runners` has what runs each stage,
    and `root` is the folder of the programs whose code the stamps hash. With `keep_trained`,
    weights stay current when nothing but that code has changed.
    """

    build: Path
    downloads: Path
    runners: Mapping[Stage, Runner]
    root: Path = ROOT
    keep_trained: bool = False

    def make(self, lineage: tuple[Recipe, ...], stage: Stage, progress: str = "") -> bool:
        """Run a stage unless its stamp is current; return whether it ran.

        The stage's folder is replaced whole or not at all. `progress` is printed after the stage's
        name. Raises RecipeError when an input has not been made.
        """
        recipe = lineage[-1]
        output = self.folder(recipe, stage)
        inputs = self.inputs(lineage, stage)
        key, of_inputs = self._keys(lineage, stage, inputs)
        if self._has(output, stage, key, of_inputs):
            print(f"{recipe.variant}: {stage} is up to date{progress}")
            return False
        print(f"{recipe.variant}: {stage}{progress}", flush=True)
        staged = output.with_name(f".{stage}")
        checkpoint = output.with_name(f".{stage}.{key[:16]}")
        for other in output.parent.glob(f".{stage}.*"):
            if other != checkpoint:
                shutil.rmtree(other)
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        started_s = time.perf_counter()
        try:
            self.runners[stage](
                Job(lineage, inputs, staged, self._seconds(recipe, stage), checkpoint)
            )
        except (RecipeError, BundleError) as error:
            # The user knows the stage's folder, not the temporary one.
            raise type(error)(str(error).replace(str(staged), str(output))) from error
        stamp = {
            "key": key,
            "inputs": of_inputs,
            "seconds": round(time.perf_counter() - started_s, 1),
            "outputs": _hashes(staged),
        }
        (staged / _STAMP_NAME).write_text(json.dumps(stamp, indent=2))
        shutil.rmtree(output, ignore_errors=True)
        staged.rename(output)
        shutil.rmtree(checkpoint, ignore_errors=True)
        return True

    def is_current(self, lineage: tuple[Recipe, ...], stage: Stage) -> bool:
        """Whether a stage is up to date."""
        try:
            keys = self._keys(lineage, stage, self.inputs(lineage, stage))
        except RecipeError:  # an input is missing
            return False
        return self._has(self.folder(lineage[-1], stage), stage, *keys)

    def folder(self, recipe: Recipe, stage: Stage) -> Path:
        """Return the folder where a variant's stage leaves its files."""
        return self.build / recipe.family / recipe.variant / stage

    def inputs(self, lineage: tuple[Recipe, ...], stage: Stage) -> dict[str, Path]:
        """Return the folders that a stage reads, by name."""
        recipe, root = lineage[-1], lineage[0]
        folders = {
            "downloads": self.downloads,
            "data": self.folder(root, "data"),
            "unlabelled": self.folder(root, "data"),
            "inspection": self.folder(root, "inspect"),
            "bundle": self.folder(recipe, "quantize" if recipe.quantize else "export"),
            "evaluation": self.folder(recipe, "evaluate"),
        }
        if recipe.weights_stage:
            folders["weights"] = self.folder(recipe, recipe.weights_stage)
        if recipe.parent:
            parent = lineage[-2]
            if parent.weights_stage:
                folders["parent_weights"] = self.folder(parent, parent.weights_stage)
            graph: Stage = "quantize" if parent.quantize else "export"
            folders["parent_bundle"] = self.folder(parent, graph)
            folders["parent_evaluation"] = self.folder(parent, "evaluate")
            folders["teacher_evaluation"] = self.folder(root, "evaluate")
        return {name: folders[name] for name in _READS[stage] if name in folders}

    def expected_seconds(self, recipe: Recipe, stage: Stage) -> float | None:
        """Estimate a stage's duration by its last run, or by the same stage of other variants.

        None when no variant of the family has run it yet.
        """
        own = _read_stamp(self.folder(recipe, stage))
        if own:
            return float(own["seconds"])
        others = (self.build / recipe.family).glob(f"*/{stage}")
        seconds = [stamp["seconds"] for other in others if (stamp := _read_stamp(other))]
        return sum(seconds) / len(seconds) if seconds else None

    def taken_s(self, recipe: Recipe) -> float:
        """Return how long the stages of a variant took that are in the build folder."""
        stamps = (_read_stamp(self.folder(recipe, stage)) for stage in recipe.stages)
        return sum(float(stamp["seconds"]) for stamp in stamps if stamp)

    def _seconds(self, recipe: Recipe, stage: Stage) -> dict[str, float]:
        """The last duration of each stage before this one."""
        earlier = recipe.stages[: recipe.stages.index(stage)]
        stamps = {name: _read_stamp(self.folder(recipe, name)) for name in earlier}
        return {name: float(stamp["seconds"]) for name, stamp in stamps.items() if stamp}

    def _keys(
        self, lineage: tuple[Recipe, ...], stage: Stage, inputs: dict[str, Path]
    ) -> tuple[str, str]:
        """The hash of all that the stage's result depends on, and of all but its code."""
        given = self._given(lineage, stage, inputs)
        code = source_hashes(f"models.stages.{stage}", self.root)
        return _hash(given | {"code": code}), _hash(given)

    def _has(self, output: Path, stage: Stage, key: str, of_inputs: str) -> bool:
        kept = of_inputs if self.keep_trained and stage in WEIGHTS_STAGES else None
        return _is_current(output, key, kept)

    def _given(
        self, lineage: tuple[Recipe, ...], stage: Stage, inputs: dict[str, Path]
    ) -> dict[str, Any]:
        """Everything that the stage's result depends on, but its code."""
        made = {name: folder for name, folder in inputs.items() if name != "downloads"}
        for name, folder in made.items():
            if not folder.is_dir():
                raise RecipeError(
                    f"{lineage[-1].variant}: {stage} needs {name} from {folder}, which does not "
                    f"exist: run `python -m models all {lineage[-1].folder}`"
                )
        recipe, root = lineage[-1], lineage[0]
        section = recipe if stage == "package" else getattr(recipe, stage, None)
        return {
            "family": recipe.family,
            "max_length": root.max_length,
            "section": _without_limit(section.model_dump()) if section else None,
            "inputs": {name: _hashes(folder, name) for name, folder in made.items()},
            "locations": [
                _source_hashes(resolve(name, recipe, self.downloads))
                for name in locations(recipe, stage)
            ],
        }


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep others from this folder, which is made; raise RecipeError if one is at work in it."""
    folder.mkdir(parents=True, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecipeError(f"{folder}: another run is at work: wait for it or end it") from error
        yield
    finally:
        os.close(opened)


def _without_limit(section: dict[str, Any]) -> dict[str, Any]:
    """Leave out what stops a training and changes no weights of one that has ended."""
    return section | {"max_drop": None} if "max_drop" in section else section


def _hash(given: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def _source_hashes(source: Source) -> dict[str, str]:
    """Hash the files of a source; a source on the hub counts by its name alone."""
    if source.path is None:
        return {source.name: str(source.split)}
    if source.path.is_dir():
        return _hashes(source.path)
    return {source.path.name: file_sha256(source.path)}


def _read_stamp(output: Path) -> dict[str, Any]:
    """The stamp of a stage's folder; empty when there is none."""
    path = output / _STAMP_NAME
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _is_current(output: Path, key: str, of_inputs: str | None) -> bool:
    """Whether a stage's result has this key; with `of_inputs`, that of another code will do."""
    stamp = _read_stamp(output)
    if not stamp or stamp["outputs"] != _hashes(output):
        return False
    return stamp["key"] == key or (of_inputs is not None and stamp.get("inputs") == of_inputs)


def _hashes(folder: Path, read_as: str = "") -> dict[str, str]:
    """The files of a stage's result; as the input `data` or `unlabelled`, those that are read."""
    unlabelled = f"{UNLABELLED}.jsonl"
    return {
        str(path.relative_to(folder)): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name != _STAMP_NAME
        and (path.name == unlabelled or read_as != "unlabelled")
        and (path.name != unlabelled or read_as != "data")
    }
