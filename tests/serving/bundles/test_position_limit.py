import pytest

from serving.bundles.position_limit import LONGEST, longest_input, position_pad_id


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514}, 512),
        ({"model_type": "camembert", "max_position_embeddings": 514, "pad_token_id": None}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 0}, 513),
        ({"model_type": "longformer", "max_position_embeddings": 4098, "pad_token_id": 1}, 4096),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 0}, 512),
        ({"model_type": "bart", "max_position_embeddings": 1024, "pad_token_id": 1}, 1024),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "mpt", "max_seq_len": 2048}, 2048),
        ({"model_type": "bloom", "seq_length": 2048}, 2048),
        ({"model_type": "llama", "max_position_embeddings": 131072}, LONGEST),
        ({"model_type": "xlnet"}, LONGEST),
        ({"model_type": "bert", "max_position_embeddings": None, "n_positions": -1}, LONGEST),
        ({"model_type": "gemma3", "text_config": {"max_position_embeddings": 64}}, 64),
        (
            {"model_type": "esm", "max_position_embeddings": 1026, "pad_token_id": 1}
            | {"position_embedding_type": "rotary"},
            1026,
        ),
    ],
)
def test_the_longest_input_is_what_the_positions_hold(config, longest):
    assert longest_input(config) == longest


@pytest.mark.parametrize(
    ("config", "pad_id"),
    [
        ({"model_type": "bert", "pad_token_id": 0}, 0),
        ({"model_type": "bert", "pad_token_id": None}, 0),
        ({"model_type": "roberta", "pad_token_id": 3}, 3),
        ({"model_type": "mpnet", "pad_token_id": 0}, 1),
    ],
)
def test_positions_are_not_counted_at_the_padding_that_the_model_knows(config, pad_id):
    assert position_pad_id(config) == pad_id
