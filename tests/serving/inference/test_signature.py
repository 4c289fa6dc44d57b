"""What a graph is fed, cell by cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.bundles.bundle import Bundle, Manifest
from serving.bundles.ports import Port
from serving.inference.inputs import Encoding
from serving.inference.packing import lay_out
from serving.inference.signature import TextSignature

PAD_ID = 7
PADDED = ("input_ids", "attention_mask")
PACKED = ("input_ids", "text_ids", "position_ids", "first_tokens")
TEXTS = st.lists(
    st.lists(st.tuples(st.integers(8, 99), st.integers(0, 1)), min_size=1, max_size=50),
    min_size=1, max_size=20,
)  # fmt: skip


def signature(tmp_path_factory, inputs, *, packed):
    manifest = Manifest.model_construct(pad_token_id=PAD_ID, tensors=(), max_length=64, files={})
    ports = [Port(name, "int64", (None, None)) for name in inputs]
    found = TextSignature(Bundle(tmp_path_factory.getbasetemp(), manifest), ports, "logits")
    return found if packed else found.unpacked()


def encodings(texts, *, pairs):
    return [
        Encoding([i for i, _ in text], len(text), [t for _, t in text] if pairs else None)
        for text in texts
    ]


@pytest.mark.parametrize(("inputs", "packed"), [(PADDED, False), (PACKED, True), (PACKED, False)])
@pytest.mark.parametrize("typed", [False, True])
def test_every_token_is_in_its_cell_and_all_other_cells_are_padding(
    tmp_path_factory, inputs, packed, typed
):
    reads = signature(
        tmp_path_factory, (*inputs, "token_type_ids") if typed else inputs, packed=packed
    )
    assert reads.packed == packed

    @given(TEXTS, st.booleans())
    def laid_out(texts, pairs):
        feed = reads.feed(encodings(texts, pairs=pairs))

        layout = lay_out(tuple(map(len, texts)), packed=packed)
        shape = (layout.rows, layout.tokens)
        expected = {
            name: np.full(shape, PAD_ID if name == "input_ids" else 0, np.int64)
            for name in (*inputs, *(["token_type_ids"] if typed else []))
        }
        if "first_tokens" in inputs:
            expected["first_tokens"] = np.array(layout.places)
        for number, (text, (row, start)) in enumerate(zip(texts, layout.places, strict=True), 1):
            for position, (token, kind) in enumerate(text):
                cell = (row, start + position)
                values = {
                    "input_ids": token, "attention_mask": 1, "text_ids": number,
                    "position_ids": position, "token_type_ids": kind if pairs else 0,
                }  # fmt: skip
                for name in expected.keys() & values.keys():
                    expected[name][cell] = values[name]
        assert feed.keys() == expected.keys()
        for name, array in expected.items():
            assert feed[name].dtype == np.int64, name
            assert feed[name].flags.c_contiguous, name
            np.testing.assert_array_equal(feed[name], array, name)

    laid_out()


def test_a_graph_for_packed_rows_can_take_one_text_a_row(tmp_path_factory):
    reads = signature(tmp_path_factory, PACKED, packed=True)
    texts = encodings([[(9, 0)] * 3, [(9, 0)] * 5], pairs=False)

    assert reads.feed(texts)["input_ids"].shape == (1, 8)
    assert reads.unpacked().feed(texts)["input_ids"].shape == (2, 5)
    assert reads.packed, "the packed one stays as it was"
