"""A family that is served, with a cascade and decisions, and its next versions, made elsewhere."""

from dataclasses import dataclass
from pathlib import Path

from serving.bundles.bundle import read_bundle
from serving.bundles.registry import publish
from tests.support.bundles import write_bundle, write_registry
from tests.support.cascades import cascade_of, write_cascade
from tests.support.decisions import decider, decisions_of, write_decisions


@dataclass
class Home:
    """Where everything is, and the versions of `tiny` and `wide` before and after."""

    made: Path
    registry: Path
    old: dict[str, str]
    new: dict[str, str]

    @property
    def folder(self):
        return self.registry / "tone"

    def folders(self):
        """The version in each folder of the family."""
        return {
            path.name: read_bundle(path).manifest.version
            for path in self.folder.iterdir()
            if path.is_dir()
        }

    def texts(self):
        """The family's own files."""
        return {p.name: p.read_text() for p in self.folder.iterdir() if p.is_file()}


def new_home(tmp_path):
    registry = write_registry(tmp_path / "registry", tmp_path / "scratch")
    made = tmp_path / "made"
    for variant, scale in (("tiny", 1.7), ("wide", 2.2)):
        publish_next(made, tmp_path / "next" / variant, variant=variant, scale=scale)
    old, new = (
        {name: read_bundle(each / "tone" / name).manifest.version for name in ("tiny", "wide")}
        for each in (registry, made)
    )
    for each, versions in ((registry, old), (made, new)):
        write_family_files(each, versions)
    return Home(made, registry, old, new)


def publish_next(registry, scratch, **fields):
    write_bundle(scratch, **fields)
    return publish(scratch, registry).manifest.version


def write_family_files(registry, versions):
    write_cascade(registry, versions)
    deciders = [decider(versions, {"negative": 0.3}, variant=variant) for variant in versions]
    cascaded = decider(versions, {"negative": 0.4}, cascade=cascade_of(versions))
    write_decisions(registry, decisions_of(*deciders, cascaded))
