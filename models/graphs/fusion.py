"""Fuses the operators of a traced graph, and packs it where its architecture allows."""

from collections import Counter
from pathlib import Path

import onnx
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.onnx_model import OnnxModel
from transformers import PretrainedConfig

from models.graphs.packing import PACKABLE, pack
from models.recipe import RecipeError
from models.training.architecture import head_size, kept_heads


def fuse(plain: Path, config: PretrainedConfig, output: Path) -> None:
    """Write the traced graph `plain` fused and packed, or print why it stays unpacked.

    Raises RecipeError naming the missing operator where the architecture should be fused: such a
    graph would run, but slowly.
    """
    fused = _optimised(plain, config, split_attention=False)
    found = Counter(node.op_type for node in fused.model.graph.node)
    if config.model_type in PACKABLE:
        for name, count in _expected(config).items():
            if found[name] != count:
                raise RecipeError(
                    f"the graph has {found[name]} {name} instead of {count}: onnxruntime's "
                    "optimiser does not recognise graphs of this version of transformers; install "
                    "the pinned versions"
                )
        pack(fused, config.pad_token_id or 0)
    else:
        print(
            f"onnxruntime's optimiser does not know {config.model_type}: {found['Attention']} of "
            f"{config.num_hidden_layers} attention layers are fused and texts are padded, so the "
            "graph is slower"
        )
    fused.save_model_to_file(str(output))
    onnx.checker.check_model(str(output))


def fuse_with_split_attention(plain: Path, config: PretrainedConfig, output: Path) -> None:
    """Write the traced graph `plain` fused and packed, attention's matrices still apart."""
    fused = _optimised(plain, config, split_attention=True)
    if config.model_type in PACKABLE:
        pack(fused, config.pad_token_id or 0)
    graph = ONNXModel(fused.model)
    graph.replace_gemm_with_matmul()
    graph.clean_initializers()
    fused.save_model_to_file(str(output))


def _optimised(plain: Path, config: PretrainedConfig, *, split_attention: bool) -> OnnxModel:
    options = FusionOptions("bert")
    options.use_multi_head_attention = split_attention
    # The fused embedding operator has no input for positions.
    options.enable_embed_layer_norm = False
    heads = kept_heads(config)
    return optimizer.optimize_model(
        str(plain),
        model_type="bert",
        num_heads=heads,
        # The width of all heads: pruning may have left less than the hidden size.
        hidden_size=heads * head_size(config),
        optimization_options=options,
        opt_level=0,
    )


def _expected(config: PretrainedConfig) -> dict[str, int]:
    layers = config.num_hidden_layers
    activation = getattr(config, "hidden_act", None) or getattr(config, "activation", None)
    return {
        "Attention": layers,
        "SkipLayerNormalization": 2 * layers,
        "BiasGelu": layers if activation == "gelu" else 0,
    }
