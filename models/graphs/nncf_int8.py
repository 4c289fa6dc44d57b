"""Quantizes weights and activations to int8 with NNCF, in OpenVINO's own format.

Only OpenVINO reads the result; on processors with VNNI it is the fastest format. On those without
it two products are added in 16 bits, where they saturate: the weights use half of their range
(NNCF's overflow fix), so that a bundle answers everywhere as where its accuracy was measured.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import nncf
import numpy as np
import openvino

from models.evaluation.noninferiority import largest_loss
from models.evaluation.predictions import predicted
from models.evaluation.statistics import Flags, correct
from models.recipe_sections import ProblemType
from serving.inference.signature import Feed

JudgedFeed = tuple[Feed, Flags, bool]
"""One text as the graph's inputs, its labels, of shape (labels,), and whether the parent is right.
"""

ANY_PROCESSOR = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)


def write(
    source: Path,
    output: Path,
    calibration: Sequence[Feed],
    search: Sequence[JudgedFeed],
    *,
    problem_type: ProblemType,
    max_accuracy_drop: float,
) -> None:
    """Write the ONNX graph `source` as `output`, an .xml file with a .bin file next to it.

    Outliers of activations are moved into the weights first (SmoothQuant, Xiao et al. 2023); the
    activations' ranges are those seen on `calibration`. While the upper bound of the accuracy lost
    on `search` exceeds `max_accuracy_drop`, the most sensitive operator is reverted (NNCF's
    accuracy control). So many looks void the bound's confidence: judge the result on other texts.
    """

    def negative_bound(model: openvino.CompiledModel, texts: Iterable[JudgedFeed]) -> float:
        feeds, truth, before = zip(*texts, strict=True)
        logits = np.concatenate([model(feed)[0] for feed in feeds])
        after, right = correct(np.stack(truth), predicted(logits, problem_type)), np.array(before)
        return -largest_loss(int((after & ~right).sum()), int((right & ~after).sum()), len(feeds))

    quantized = nncf.quantize_with_accuracy_control(
        openvino.Core().read_model(source),
        calibration_dataset=nncf.Dataset(calibration),
        validation_dataset=nncf.Dataset(search, lambda text: text[0]),
        validation_fn=negative_bound,
        # NNCF compares with the bound of the source, which is not 0 although nothing is lost.
        max_drop=max_accuracy_drop - largest_loss(0, 0, len(search)),
        drop_type=nncf.DropType.ABSOLUTE,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(calibration),
        model_type=nncf.ModelType.TRANSFORMER,
        advanced_quantization_parameters=ANY_PROCESSOR,
    )
    openvino.save_model(quantized, output, compress_to_fp16=False)


def write_all(source: Path, output: Path, calibration: Sequence[Feed]) -> None:
    """Write the ONNX graph `source` as `output` with all operators quantized, whatever it costs."""
    quantized = nncf.quantize(
        openvino.Core().read_model(source),
        nncf.Dataset(calibration),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(calibration),
        model_type=nncf.ModelType.TRANSFORMER,
        advanced_parameters=ANY_PROCESSOR,
    )
    openvino.save_model(quantized, output, compress_to_fp16=False)
