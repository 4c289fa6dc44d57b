"""A tiny configuration of any architecture: sizes by the names that configurations share.

It does not know which architectures exist.
"""

import copy

WIDTH, HEADS, HEAD, LAYERS, POSITIONS, EXPERTS = 32, 4, 8, 2, 80, 4
_SIZES = {
    name: size
    for names, size in (
        ("hidden_size d_model n_embd dim emb_dim embed_dim embedding_size", WIDTH),
        ("input_embedding_size output_embedding_size out_hidden_size", WIDTH),
        ("num_hidden_layers n_layer n_layers num_layers depth", LAYERS),
        ("encoder_layers decoder_layers num_decoder_layers", LAYERS),
        ("num_attention_heads n_head n_heads num_heads", HEADS),
        ("encoder_attention_heads decoder_attention_heads num_query_groups", HEADS),
        ("num_key_value_heads num_kv_heads linear_num_key_heads", HEADS // 2),
        ("linear_num_value_heads", HEADS),
        ("head_dim d_kv d_head attention_head_dim kv_channels linear_key_head_dim", HEAD),
        ("linear_value_head_dim v_head_dim qk_nope_head_dim qk_rope_head_dim", HEAD),
        ("intermediate_size ffn_dim d_ff n_inner hidden_dim dff d_inner", 48),
        ("encoder_ffn_dim decoder_ffn_dim ffn_hidden_size feed_forward_size", 48),
        ("attention_hidden_size", HEADS * HEAD),
        ("max_position_embeddings n_positions max_seq_len", POSITIONS),
        ("num_experts n_routed_experts num_local_experts", EXPERTS),
        ("moe_intermediate_size shared_expert_intermediate_size mamba_dt_rank", 16),
        ("q_lora_rank kv_lora_rank adapter_rank mamba_d_state", 16),
        ("num_experts_per_tok", 2),
        ("n_group topk_group n_shared_experts", 1),
        ("n_mamba_heads", 2),
        ("image_size", 32),
        ("patch_size", 16),
    )
    for name in names.split()
}
# What is None by default and then derived from other sizes, or not at all.
_DERIVED = {"head_dim": HEAD, "num_key_value_heads": HEADS // 2, "num_experts_per_tok": 2}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_HYBRID = {
    "num_hidden_layers": 4,
    "layers_block_type": ["linear_attention", "hybrid"] * 2,
    "attention_hidden_size": 2 * WIDTH,
    "attention_head_dim": 2 * HEAD,
}
# What an architecture needs besides: sizes that depend on each other.
SPECIAL = {
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {"sliding_attention": _ROPE, "full_attention": _ROPE},
    },
    "esmc": {"num_key_value_heads": HEADS},
    "funnel": {"block_sizes": [1, 1], "block_repeats": [1, 1]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
    "gptj": {"rotary_dim": 4},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lilt": {"hidden_size": 48, "max_2d_position_embeddings": 16},
    "layoutlm": {"max_2d_position_embeddings": 16},
    "longformer": {"attention_window": [8, 8]},
    "luke": {"entity_vocab_size": 8, "entity_emb_size": WIDTH},
    "mistral4": {"head_dim": 2 * HEAD},
    "mobilebert": {"intra_bottleneck_size": WIDTH, "true_hidden_size": WIDTH},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8},
    "mpt": {"max_seq_len": POSITIONS},
    "reformer": {
        "attn_layers": ["local", "lsh"],
        "axial_pos_shape": [8, 10],
        "axial_pos_embds_dim": [16, 16],
        "attention_head_size": HEAD,
        "local_attn_chunk_length": 8,
        "lsh_attn_chunk_length": 8,
    },
    "xlm-roberta-xl": {"layer_norm_eps": 1e-5},
    "xmod": {"default_language": "en_XX"},
    "zamba": _HYBRID,
    "zamba2": _HYBRID | {"hybrid_layer_ids": [1, 3], "mamba_headdim": 16, "n_mamba_heads": 4},
}


def shrunken(kind, special_ids):
    """The smallest configuration of the class `kind`, for a tokenizer's vocabulary and ids."""
    return kind(**_shrunken(kind().to_dict(), special_ids))


def _shrunken(default, ids):
    values = {
        name: size
        for name, size in _SIZES.items()
        if isinstance(default.get(name), int) and not isinstance(default.get(name), bool)
    }
    values |= {
        name: size for name, size in _DERIVED.items() if name in default and default[name] is None
    }
    if "kv_lora_rank" in default:  # its heads share one latent, so that each has its own key
        values["num_key_value_heads"] = HEADS
    kinds = list(dict.fromkeys(default.get("layer_types") or ()))
    if kinds:
        values["layer_types"] = (kinds * LAYERS)[:LAYERS]
    for name, value in default.items():
        if isinstance(value, dict) and "model_type" in value:
            values[name] = _shrunken(value, ids) | {"model_type": value["model_type"]}
    if "vocab_size" in default:
        values |= {name: value for name, value in ids.items() if value is not None}
    values |= copy.deepcopy(SPECIAL.get(default.get("model_type"), {}))
    return values
