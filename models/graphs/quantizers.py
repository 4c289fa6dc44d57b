"""Number formats for a graph's weights: int8 dynamic and static, int4, fp16.

It does not know which operators are better left alone (`kept` names them), nor what a text is.
"""

import logging
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.onnx_model import OnnxModel
from transformers import PretrainedConfig

from models.graphs.packing import PACKABLE, pack
from models.recipe_sections import Scheme
from models.training.architecture import head_size, kept_heads
from serving.inference.signature import Feed

# What each scheme quantises: operators with weights. The first two keep fused attention, the
# others need its matrices as operators of their own.
OPERATORS: dict[Scheme, tuple[str, ...]] = {
    "int8-dynamic": ("Attention", "Gather", "MatMul"),
    "fp16": ("Attention", "Gather", "Gemm", "MatMul"),
    "int8-static": ("Gather", "MatMul"),
    "int4": ("Gather", "MatMul"),
}
_INT4_BLOCKS = {"MatMul": 64, "Gather": 128}


def split_attention(plain: Path, config: PretrainedConfig, target: Path) -> None:
    """Optimise and pack a traced graph, but leave the matrices of attention apart."""
    options = FusionOptions("bert")
    options.use_multi_head_attention = True
    options.enable_embed_layer_norm = False
    heads = kept_heads(config)
    optimised = optimizer.optimize_model(
        str(plain),
        model_type="bert",
        num_heads=heads,
        hidden_size=heads * head_size(config),
        optimization_options=options,
        opt_level=0,
    )
    if config.model_type in PACKABLE:
        pack(optimised, config)
    graph = ONNXModel(optimised.model)
    graph.replace_gemm_with_matmul()
    graph.clean_initializers()
    optimised.save_model_to_file(str(target))


def operators(graph: Path, scheme: Scheme) -> list[str]:
    """The names of the operators that the scheme quantises: those with weights of their own."""
    model = onnx.load(graph, load_external_data=False).graph
    weights = {tensor.name for tensor in model.initializer if len(tensor.dims) == 2}
    return [
        node.name
        for node in model.node
        if node.op_type in OPERATORS[scheme] and weights.intersection(node.input)
    ]


def quantised(
    scheme: Scheme,
    source: Path,
    target: Path,
    kept: Collection[str] = (),
    calibration: Iterable[Feed] = (),
) -> None:
    """Write `source` with the weights of its operators in another format, but for those `kept`.

    Only int8-static looks at `calibration`, batches of real texts.
    """
    if scheme == "int8-dynamic":
        _int8_dynamic(source, target, kept)
    elif scheme == "int8-static":
        _int8_static(source, target, kept, calibration)
    elif scheme == "int4":
        _int4(source, target, kept)
    else:
        _fp16(source, target, kept)


def _int8_dynamic(source: Path, target: Path, kept: Collection[str]) -> None:
    """One scale a channel; activations are quantised when the graph runs."""
    # Its warning, to pre-process first, is meant for graphs that are not fused yet.
    logging.getLogger().setLevel(logging.ERROR)
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=list(OPERATORS["int8-dynamic"]),
        nodes_to_exclude=list(kept),
        per_channel=True,
        weight_type=QuantType.QInt8,
        # The fused operators have no shape inference; everything between them is fp32.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        """The next batch; None at the end."""
        return next(self._feeds, None)


def _int8_static(
    source: Path, target: Path, kept: Collection[str], calibration: Iterable[Feed]
) -> None:
    """One scale a channel; the range of each activation is what `calibration` shows."""
    logging.getLogger().setLevel(logging.ERROR)
    # Without the types of what the fused operators answer, activations stay fp32 unnoticed.
    typed = SymbolicShapeInference.infer_shapes(
        onnx.load(source), auto_merge=True, guess_output_rank=True
    )
    quantize_static(
        typed,
        target,
        _Batches(calibration),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(OPERATORS["int8-static"]),
        nodes_to_quantize=[name for name in operators(source, "int8-static") if name not in kept],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )


def _int4(source: Path, target: Path, kept: Collection[str]) -> None:
    """Blocks of weights with a scale each, rounded to nearest; activations stay fp32."""
    model = onnx.load(source)
    for kind, axis in (("MatMul", 0), ("Gather", 1)):
        quantizer = MatMulNBitsQuantizer(
            model,
            block_size=_INT4_BLOCKS[kind],
            is_symmetric=False,
            accuracy_level=4,
            nodes_to_exclude=list(kept),
            op_types_to_quantize=(kind,),
            quant_axes=((kind, axis),),
        )
        quantizer.process()
        model = quantizer.model.model
    onnx.save(model, target)


def _fp16(source: Path, target: Path, kept: Collection[str]) -> None:
    """Half precision, inputs and outputs as before; on a CPU it is cast back for each operator."""
    model = OnnxModel(onnx.load(source))
    model.convert_float_to_float16(keep_io_types=True, node_block_list=list(kept))
    model.save_model_to_file(str(target))
