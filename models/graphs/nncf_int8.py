"""int8 weights and activations in OpenVINO's own format, by NNCF, within an allowed loss.

It does not know how the parent was made. Only OpenVINO reads the result, and there it is the
fastest format on processors with VNNI.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import nncf
import numpy as np
import openvino

from models.evaluation.predictions import predicted
from models.evaluation.statistics import Flags, right
from models.recipe_sections import ProblemType
from serving.inference.signature import Feed

Truth = tuple[Feed, Flags]
"""One text, and which labels it has, of shape (labels,)."""


def write(
    source: Path,
    target: Path,
    calibration: Sequence[Feed],
    validation: Sequence[Truth],
    *,
    problem_type: ProblemType,
    max_accuracy_drop: float,
) -> None:
    """Write the ONNX graph `source` as `target`, an .xml with its .bin beside it.

    Ranges of activations are what `calibration` shows, after outliers have been moved into the
    weights (SmoothQuant, Xiao et al. 2023). While it loses more than `max_accuracy_drop` on
    `validation`, the operator that matters most is given back its format (NNCF's accuracy control).
    """

    def accuracy(model: openvino.CompiledModel, texts: Iterable[Truth]) -> float:
        feeds, truth = zip(*texts, strict=True)
        logits = np.concatenate([model(feed)[0] for feed in feeds])
        return float(right(np.stack(truth), predicted(logits, problem_type)).mean())

    quantised = nncf.quantize_with_accuracy_control(
        openvino.Core().read_model(source),
        calibration_dataset=nncf.Dataset(calibration),
        validation_dataset=nncf.Dataset(validation, lambda text: text[0]),
        validation_fn=accuracy,
        max_drop=max_accuracy_drop,
        drop_type=nncf.DropType.ABSOLUTE,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(calibration),
        model_type=nncf.ModelType.TRANSFORMER,
    )
    openvino.save_model(quantised, target, compress_to_fp16=False)
