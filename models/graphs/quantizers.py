"""Quantizers: write an ONNX graph with its weights in another number format."""

import logging
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Literal, assert_never

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
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference
from onnxruntime.transformers.onnx_model import OnnxModel

from serving.inference.signature import Feed

OnnxScheme = Literal["int8-dynamic", "int8-static", "int4", "fp16"]
"""The recipe's schemes whose result is an ONNX graph; int8-openvino has nncf_int8.py."""

# The operators with weights that each scheme quantizes. int8-dynamic and fp16 keep attention
# fused; the others need its matrices as operators of their own.
OPERATORS: dict[OnnxScheme, tuple[str, ...]] = {
    "int8-dynamic": ("Attention", "Gather", "MatMul"),
    "fp16": ("Attention", "Gather", "Gemm", "MatMul"),
    "int8-static": ("Gather", "MatMul"),
    "int4": ("Gather", "MatMul"),
}
_INT4_BLOCKS = {"MatMul": 64, "Gather": 128}


def operators(graph: Path, scheme: OnnxScheme) -> list[str]:
    """Name the operators that the scheme quantizes: those with weights of their own."""
    return [node.name for node in _quantized(graph, scheme)]


def _quantized(graph: Path, scheme: OnnxScheme) -> list[onnx.NodeProto]:
    model = onnx.load(graph, load_external_data=False).graph
    weights = {tensor.name for tensor in model.initializer if len(tensor.dims) == 2}
    return [
        node
        for node in model.node
        if node.op_type in OPERATORS[scheme] and weights.intersection(node.input)
    ]


def quantize_graph(
    scheme: OnnxScheme,
    source: Path,
    output: Path,
    kept: Collection[str] = (),
    calibration: Iterable[Feed] = (),
) -> None:
    """Write `source` with its operators' weights quantized, except the operators `kept`.

    Only int8-static uses `calibration`, batches of real texts.
    """
    match scheme:
        case "int8-dynamic":
            _int8_dynamic(source, output, kept)
        case "int8-static":
            _int8_static(source, output, kept, calibration)
        case "int4":
            _int4(source, output, kept)
        case "fp16":
            _fp16(source, output, kept)
        case _:
            assert_never(scheme)


def _int8_dynamic(source: Path, output: Path, kept: Collection[str]) -> None:
    """One scale a channel; activations are quantized when the graph runs."""
    # It warns to pre-process the graph first, which is meant for graphs that are not fused yet.
    logging.getLogger().setLevel(logging.ERROR)
    quantize_dynamic(
        source,
        output,
        # Only the kinds that it has: Gemm counts as MatMul, and a static classifier's head is Gemm.
        op_types_to_quantize=sorted({node.op_type for node in _quantized(source, "int8-dynamic")}),
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
        """Return the next batch, or None at the end."""
        return next(self._feeds, None)


def _int8_static(
    source: Path, output: Path, kept: Collection[str], calibration: Iterable[Feed]
) -> None:
    """One scale a channel; each activation's range is the one seen on `calibration`."""
    logging.getLogger().setLevel(logging.ERROR)
    # Without the types of the fused operators' outputs, activations silently stay fp32.
    typed = SymbolicShapeInference.infer_shapes(
        onnx.load(source), auto_merge=True, guess_output_rank=True
    )
    quantize_static(
        typed,
        output,
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


def _int4(source: Path, output: Path, kept: Collection[str]) -> None:
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
    onnx.save(model, output)


def _fp16(source: Path, output: Path, kept: Collection[str]) -> None:
    """Half precision with fp32 inputs and outputs; a CPU casts it back at each operator."""
    model = OnnxModel(onnx.load(source))
    model.convert_float_to_float16(keep_io_types=True, node_block_list=list(kept))
    model.save_model_to_file(str(output))
