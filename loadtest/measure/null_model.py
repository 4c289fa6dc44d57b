"""The null model: a bundle without inference, to measure the time of everything else."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from loadtest.measure.server import LoadTestError
from loadtest.measure.subprocesses import PYTHON, same_imports

NULL_MODEL = ("floor", "no-inference")


def publish_null_model(bundle: Path, registry: Path) -> None:
    """Publish into `registry` a bundle whose logits are all zero, with the tokenizer of `bundle`.

    Raise LoadTestError if `bundle` has no tokenizer or the import fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            shutil.copyfile(bundle / "tokenizer.json", folder / "tokenizer.json")
            shutil.copyfile(bundle / "config.json", folder / "config.json")
            labels = len(json.loads((folder / "config.json").read_text())["id2label"])
        except (OSError, ValueError, KeyError) as error:
            raise LoadTestError(f"{bundle} is not a bundle: {error!r}") from error
        onnx.save(_graph(labels), folder / "model.onnx")
        model, variant = NULL_MODEL
        command = [
            *PYTHON, "-m", "models", "import", str(folder),
            "--family", model, "--variant", variant, "--registry", str(registry),
        ]  # fmt: skip
        done = subprocess.run(
            command,
            env=same_imports(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    if done.returncode:
        reason = done.stderr.strip().replace(str(folder), str(bundle))
        raise LoadTestError(
            f"the null model was not imported: {reason}: set `floor = false` in the scenario to "
            "measure without it"
        )


def _graph(labels: int) -> onnx.ModelProto:
    """Build a graph with a packed bundle's inputs that returns zeros of shape (texts, labels)."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"])
        for name in ("input_ids", "text_ids", "position_ids")
    ]
    inputs.append(helper.make_tensor_value_info("first_tokens", TensorProto.INT64, ["texts", 2]))
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", "labels"])
    columns = helper.make_tensor("labels", TensorProto.INT64, [1], [labels])
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    nodes = [
        helper.make_node("Shape", ["first_tokens"], ["texts"], end=1),
        helper.make_node("Concat", ["texts", "labels"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["logits"], value=zero),
    ]
    graph = helper.make_graph(nodes, "null_model", inputs, [logits], [columns])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
