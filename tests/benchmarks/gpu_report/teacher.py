"""The teacher in fp32 and fp16, published into the report's own registry.

They come from a registry if it has an fp32 text classifier of its own, the largest; fp16 is that
family's fp16 variant or made from the graph. Otherwise both are MiniLM-shaped with random weights:
they cost what a trained teacher costs. The last line is JSON: the teacher by precision.
"""

import argparse
import json
import tempfile
from pathlib import Path

from serving.bundles.bundle import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, read_bundle
from serving.bundles.bundle import write_manifest as describe
from serving.bundles.registry import publish, read_registry
from serving.settings import SHIPPED_REGISTRY
from tests.support.minilm import MINILM, TINY, write_minilm

SHAPES = {"minilm": MINILM, "tiny": TINY}
FAMILY = "gpu-report"
NO_QUANTIZER = (
    "{} has no fp16 variant of {}, and {} is missing, which makes one: "
    "add the variant to the registry or leave out --registry"
)


def trained(registry):
    """The largest fp32 text classifier of a registry and its family's fp16 one; None where none."""
    families = read_registry(registry) if registry.is_dir() else {}
    found = [
        (bundle, bundles)
        for bundles in families.values()
        for bundle in bundles
        if bundle.manifest.precision == "fp32" and _reads_texts(bundle)
    ]
    if not found:
        return None, None
    teacher, family = max(found, key=lambda each: each[0].manifest.bytes)
    halves = [b for b in family if b.manifest.precision == "fp16" and _reads_texts(b)]
    same = [b for b in halves if b.manifest.parameters == teacher.manifest.parameters]
    return teacher, next(iter(same), None)


def _reads_texts(bundle):
    manifest = bundle.manifest
    return not manifest.tensors and not manifest.pairs and bundle.model_path.suffix == ".onnx"


def halved(teacher, folder):
    """The teacher's graph in fp16, as the stage `quantize` writes it."""
    from models.graphs.quantizers import quantize_graph  # noqa: PLC0415 - not on every GPU host

    folder.mkdir(parents=True)
    for name in (TOKENIZER_NAME, CONFIG_NAME):
        (folder / name).write_bytes((teacher.folder / name).read_bytes())
    quantize_graph("fp16", teacher.model_path, folder / MODEL_NAME)
    fields = teacher.manifest.model_dump(exclude={"version", "bytes", "files", "evaluations"})
    describe(folder, **fields | {"variant": "teacher-fp16", "precision": "fp16"})
    return folder


def made(registry, shape, scratch):
    """The folders of both, and where they come from in words."""
    teacher, half = trained(registry) if registry else (None, None)
    if teacher is None:
        like = read_bundle(SHIPPED_REGISTRY / "sentiment" / "medium-int8")
        folders = {
            precision: write_minilm(
                scratch / precision, like, family=FAMILY, variant=f"teacher-{precision}",
                precision=precision, shape=SHAPES[shape],
            ).folder
            for precision in ("fp32", "fp16")
        }  # fmt: skip
        return folders, f"random weights in the shape {shape}"
    manifest = teacher.manifest
    if half is None:
        try:
            half_folder = halved(teacher, scratch / "fp16")
        except ModuleNotFoundError as error:
            wanted = (registry, manifest.variant, error.name)
            raise SystemExit(NO_QUANTIZER.format(*wanted)) from error
    else:
        half_folder = half.folder
    origin = f"{manifest.family}/{manifest.variant} {manifest.version}"
    return {"fp32": teacher.folder, "fp16": half_folder}, origin


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--registry", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="minilm")
    parser.add_argument("--out", type=Path, required=True, help="registry to publish into")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folders, origin = made(arguments.registry, arguments.shape, Path(scratch))
        found = {}
        for precision, folder in folders.items():
            bundle = publish(folder, arguments.out)
            manifest = bundle.manifest
            found[precision] = {
                "folder": str(bundle.folder), "origin": origin, "version": manifest.version,
                "parameters": manifest.parameters, "bytes": manifest.bytes,
            }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
