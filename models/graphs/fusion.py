"""Fuses the operators of a traced graph, and packs it where its architecture allows."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.onnx_model import OnnxModel
from transformers import PretrainedConfig

from models.graphs.attention_fusion import fuse_attention
from models.graphs.packing import PACKABLE, pack
from models.recipe import RecipeError
from models.training.architecture import head_size, kept_heads, text_config
from serving.bundles.position_limit import position_pad_id

_EXACT_GELU = ("gelu", "gelu_python")
"""The spellings of GELU with erf; the optimiser may or may not fuse other activations."""
_RELATIVE = ("mpnet",)
"""Those with relative positions, of which the optimiser does not recognise the attention."""
_FUSION_TOLERANCE = 1e-4
_FATAL = 4


def fuse(plain: Path, config: PretrainedConfig, output: Path) -> None:
    """Write the traced graph `plain` fused and packed, or print why it stays unpacked.

    Raises RecipeError naming the missing operator where the architecture should be fused: such a
    graph would run, but slowly.
    """
    if config.model_type not in PACKABLE:
        _fuse_unknown(plain, config, output)
        return
    fused = _optimised(plain, config)
    if config.model_type in _RELATIVE:
        fuse_attention(fused, _random_texts(config))
    found = Counter(node.op_type for node in fused.model.graph.node)
    for name, count in _expected(config).items():
        if found[name] < count:
            raise RecipeError(
                f"the graph has {found[name]} {name} instead of {count}: onnxruntime's "
                "optimiser does not recognise graphs of this version of transformers; install "
                "the pinned versions"
            )
    pack(fused, position_pad_id(config.to_dict()))
    fused.save_model_to_file(str(output))
    onnx.checker.check_model(str(output))


def _fuse_unknown(plain: Path, config: PretrainedConfig, output: Path) -> None:
    """Write a graph of another architecture fused, as far as its logits stay the same."""
    fused = _agreeing(plain, config, output)
    if fused is None:
        shutil.copyfile(plain, output)
        print(
            f"onnxruntime's optimiser does not know {config.model_type}: its operators are not "
            "fused and texts are padded, so the graph is slower"
        )
        return
    attention = sum(node.op_type == "Attention" for node in fused.model.graph.node)
    print(
        f"onnxruntime's optimiser does not know {config.model_type}: {attention} of "
        f"{getattr(config, 'num_hidden_layers', attention)} attention layers are fused and texts "
        "are padded, so the graph is slower"
    )


def _agreeing(plain: Path, config: PretrainedConfig, output: Path) -> OnnxModel | None:
    """Fuse the graph into `output`; None if that fails or changes its logits."""
    try:
        fused = _optimised(plain, config)
        fused.save_model_to_file(str(output))
        onnx.checker.check_model(str(output))
        feed = _random_texts(config)
        expected, found = (_logits(path, feed) for path in (plain, output))
    except Exception:  # noqa: BLE001 (the optimiser fails on other architectures with any type)
        return None
    scale = max(1.0, float(np.abs(expected).max()))
    return fused if np.abs(found - expected).max() <= _FUSION_TOLERANCE * scale else None


def _random_texts(config: PretrainedConfig) -> dict[str, npt.NDArray[np.int64]]:
    """Ids and mask of three texts of different lengths."""
    lengths = np.array([7, 2, 5])
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    random = np.random.default_rng(0)
    words = text_config(config)
    ids = random.integers(0, words.vocab_size, mask.shape)
    return {
        "input_ids": np.where(mask, ids, words.pad_token_id or 0),
        "attention_mask": mask,
    }


def _logits(graph: Path, feed: dict[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    read = {node.name for node in session.get_inputs()}
    logits: npt.NDArray[np.float32] = session.run(
        ["logits"], {name: value for name, value in feed.items() if name in read}
    )[0]
    return logits


def _optimised(plain: Path, config: PretrainedConfig) -> OnnxModel:
    options = FusionOptions("bert")
    # The fused embedding operator has no input for positions.
    options.enable_embed_layer_norm = False
    heads = width = 0  # the optimiser finds them itself
    if hasattr(config, "num_attention_heads") and hasattr(config, "hidden_size"):
        heads = kept_heads(config)
        # The width of all heads: pruning may have left less than the hidden size.
        width = heads * head_size(config)
    return optimizer.optimize_model(
        str(plain),
        model_type="bert",
        num_heads=heads,
        hidden_size=width,
        optimization_options=options,
        opt_level=0,
    )


def _expected(config: PretrainedConfig) -> dict[str, int]:
    layers = config.num_hidden_layers
    activation = getattr(config, "hidden_act", None) or getattr(config, "activation", None)
    return {
        "Attention": layers,
        "SkipLayerNormalization": 2 * layers,
        **({"BiasGelu": layers} if activation in _EXACT_GELU else {}),
    }
