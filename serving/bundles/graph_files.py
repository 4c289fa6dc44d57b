"""The files that an engine reads for a bundle's graph: those of its manifest, and no others.

A graph can name any path as that of its weights. The hashes, and a signature over them, only say
something of the files that the manifest names.
"""

from pathlib import Path

from serving.bundles.bundle import OPENVINO_NAMES, Bundle
from serving.bundles.files import beside, listed, open_file, within
from serving.bundles.onnx_file import read_outline
from serving.errors import BundleError, failures, printable

_MARKUP = b"<"


def weights_files(bundle: Bundle) -> dict[str, Path]:
    """Return the files beside a graph that hold its weights, by name.

    Raises BundleError if the manifest does not name one of them, or a link leads out of the bundle.
    """
    names = _names(bundle)
    if strange := [printable(name) for name in names if name not in bundle.manifest.files]:
        raise BundleError(
            f"{bundle.model_path} keeps its weights in {listed(strange)}, which manifest.json does "
            "not name: a bundle's graph reads files of the bundle only"
        )
    files = {name: bundle.path(name) for name in names}
    with failures(BundleError, str(bundle.model_path)):
        for path in files.values():
            if bundle.elsewhere:
                beside(path, bundle.model_path)
            else:
                within(path, bundle.folder)
    return files


def _names(bundle: Bundle) -> list[str]:
    model, weights = OPENVINO_NAMES
    if model not in bundle.manifest.files:
        return read_outline(bundle.model_path).external_files
    with failures(BundleError, str(bundle.model_path)), open_file(bundle.model_path) as file:
        first = file.read(1)
    # Whatever its name, OpenVINO would read an ONNX file, and what that names; none begins so.
    if first != _MARKUP:
        raise BundleError(f"{bundle.model_path} is no XML, as OpenVINO saves its models")
    return [weights]
