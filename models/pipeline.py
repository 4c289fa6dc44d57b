"""Runs stages: each writes its own folder, whole or not at all, and only when something changed.

It does not know what a stage does; that is in the module of the stage's name.
"""

import hashlib
import importlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.data.sources import Place, locations, place
from models.recipe import Recipe, RecipeError, Stage
from serving.bundles.bundle import file_sha256

_STAMP_NAME = "stamp.json"
_READS: dict[Stage, tuple[str, ...]] = {
    "data": ("sources",),
    "train": ("sources", "data"),
    "adopt": ("sources", "data"),
    "distill": ("data", "teacher"),
    "prune": ("data", "teacher"),
    "sparsify": ("data", "teacher"),
    "export": ("data", "weights"),
    "quantize": ("data", "parent", "teacher"),
    "evaluate": ("data", "bundle", "teacher_answers", "parent_answers"),
    "package": ("bundle", "evaluate"),
}
_ALSO_RUNS: dict[Stage, tuple[str, ...]] = {
    "data": ("data/labels", "data/labelled", "data/splits", "data/readers"),
    "train": ("training/loop", "training/pretrained"),
    "adopt": ("training/pretrained",),
    "distill": (
        "training/architecture",
        "training/augmentation",
        "training/loop",
        "training/knowledge_distillation",
        "training/vocabulary",
    ),
    "prune": ("training/architecture", "training/loop", "training/knowledge_distillation"),
    "sparsify": ("training/architecture", "training/loop", "training/knowledge_distillation"),
    "quantize": (
        "training/architecture",
        "evaluation/predictions",
        "stages/export",
        "graphs/nncf_int8",
        "graphs/packing",
        "graphs/quantizers",
        "graphs/sensitivity",
    ),
    "evaluate": ("evaluation/predictions", "evaluation/statistics", "evaluation/temperature"),
    "export": ("graphs/packing", "graphs/trace"),
    "package": ("reports/model_card",),
}


@dataclass(frozen=True)
class Job:
    """What a stage is given: its recipe, the folders it reads and the folder it fills.

    `lineage` has the recipe's ancestors and itself, the teacher first. `inputs` maps the name
    of an input (see Workshop.inputs) to its folder; `seconds` has the times of the stages before.
    """

    lineage: tuple[Recipe, ...]
    inputs: dict[str, Path]
    output: Path
    seconds: dict[str, float]

    @property
    def recipe(self) -> Recipe:
        """The recipe that is being made."""
        return self.lineage[-1]

    @property
    def root(self) -> Recipe:
        """The teacher's recipe, which also says what the data is."""
        return self.lineage[0]


@dataclass(frozen=True)
class Workshop:
    """The build folder: `<family>/<variant>/<stage>/`, each with a stamp of what it was made from.

    `sources` is what fetch.py fetched.
    """

    build: Path
    sources: Path

    def make(self, lineage: tuple[Recipe, ...], stage: Stage, progress: str = "") -> bool:
        """Run one stage unless its stamp is current; whether it ran. `progress` is only printed.

        Raises RecipeError when an input has not been made.
        """
        recipe = lineage[-1]
        output = self.folder(recipe, stage)
        inputs = self.inputs(lineage, stage)
        key = self._key(lineage, stage, inputs)
        if _is_current(output, key):
            print(f"{recipe.variant}: {stage} is up to date{progress}")
            return False
        print(f"{recipe.variant}: {stage}{progress}", flush=True)
        staged = output.with_name(f".{stage}")
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        started = time.perf_counter()
        importlib.import_module(f"models.stages.{stage}").run(
            Job(lineage, inputs, staged, self._seconds(recipe, stage))
        )
        stamp = {
            "key": key,
            "seconds": round(time.perf_counter() - started, 1),
            "outputs": _hashes(staged),
        }
        (staged / _STAMP_NAME).write_text(json.dumps(stamp, indent=2))
        shutil.rmtree(output, ignore_errors=True)
        staged.rename(output)
        return True

    def folder(self, recipe: Recipe, stage: Stage) -> Path:
        """Where a stage of a variant leaves its files."""
        return self.build / recipe.family / recipe.variant / stage

    def inputs(self, lineage: tuple[Recipe, ...], stage: Stage) -> dict[str, Path]:
        """The folders that a stage reads, by name."""
        recipe, root = lineage[-1], lineage[0]
        folders = {
            "sources": self.sources,
            "data": self.folder(root, "data"),
            "bundle": self.folder(recipe, "quantize" if recipe.quantize else "export"),
            "evaluate": self.folder(recipe, "evaluate"),
        }
        if recipe.weights_stage:
            folders["weights"] = self.folder(recipe, recipe.weights_stage)
        if recipe.parent:
            parent = lineage[-2]
            if parent.weights_stage:
                folders["teacher"] = self.folder(parent, parent.weights_stage)
            folders["parent"] = self.folder(parent, "quantize" if parent.quantize else "export")
            folders["parent_answers"] = self.folder(parent, "evaluate")
            folders["teacher_answers"] = self.folder(root, "evaluate")
        return {name: folders[name] for name in _READS[stage] if name in folders}

    def expected_seconds(self, recipe: Recipe, stage: Stage) -> float | None:
        """How long a stage takes by its last run, or by that of other variants' stage.

        None when no variant of the family has come so far.
        """
        own = _read_stamp(self.folder(recipe, stage))
        if own:
            return float(own["seconds"])
        others = (self.build / recipe.family).glob(f"*/{stage}")
        seconds = [stamp["seconds"] for other in others if (stamp := _read_stamp(other))]
        return sum(seconds) / len(seconds) if seconds else None

    def _seconds(self, recipe: Recipe, stage: Stage) -> dict[str, float]:
        """How long each stage before this one took when it last ran."""
        earlier = recipe.stages[: recipe.stages.index(stage)]
        stamps = {name: _read_stamp(self.folder(recipe, name)) for name in earlier}
        return {name: float(stamp["seconds"]) for name, stamp in stamps.items() if stamp}

    def _key(self, lineage: tuple[Recipe, ...], stage: Stage, inputs: dict[str, Path]) -> str:
        for name, folder in inputs.items():
            if name != "sources" and not folder.is_dir():
                raise RecipeError(
                    f"{lineage[-1].variant}: {stage} needs {name} from {folder}, which is not "
                    f"there: run `python -m models all {lineage[-1].folder}`"
                )
        recipe, root = lineage[-1], lineage[0]
        section = recipe if stage == "package" else getattr(recipe, stage, None)
        made_from = {
            "family": recipe.family,
            "max_length": root.max_length,
            "section": section.model_dump() if section else None,
            "inputs": {
                name: _hashes(folder) for name, folder in inputs.items() if name != "sources"
            },
            "places": [
                _place_hashes(place(name, recipe, self.sources))
                for name in locations(recipe, stage)
            ],
            "sources": [
                _source_sha256(name) for name in (f"stages/{stage}", *_ALSO_RUNS.get(stage, ()))
            ],
        }
        return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def _source_sha256(module: str) -> str:
    return file_sha256(Path(__file__).parent / f"{module}.py")


def _place_hashes(found: Place) -> dict[str, str]:
    """What lies at a place; of the hub only the name is known here."""
    if found.path is None:
        return {found.name: str(found.split)}
    if found.path.is_dir():
        return _hashes(found.path)
    return {found.path.name: file_sha256(found.path)}


def _read_stamp(output: Path) -> dict[str, Any]:
    """The stamp of a stage's folder; empty when there is none."""
    path = output / _STAMP_NAME
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _is_current(output: Path, key: str) -> bool:
    stamp = _read_stamp(output)
    return bool(stamp) and stamp["key"] == key and stamp["outputs"] == _hashes(output)


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _STAMP_NAME
    }
