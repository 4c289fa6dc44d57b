"""Which variant of a family is the default."""

import itertools

import pytest

from serving.bundles.ranking import best, ranked
from tests.support.bundles import manifest_of


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (("a", 1, 0.8, "fp32"), ("b", 9, 0.9, "int4")),
        (("a", 1, None, "fp32"), ("b", 9, 0.5, "int4")),
        (("a", 1, None, "int8"), ("b", 9, None, "fp32")),
        (("a", 1, None, "bf16"), ("b", 9, None, "fp16")),
        (("a", 9, None, "int8"), ("b", 1, None, "int8")),
        (("b", 9, 0.9, "int8"), ("a", 9, 0.9, "int8")),
    ],
)
def test_what_was_measured_ranks_first_then_precision_bytes_and_name(worse, better):
    for pair in itertools.permutations([manifest_of(*worse), manifest_of(*better)]):
        assert best(pair) == better[0]


def test_the_order_of_reading_decides_nothing():
    listed = [manifest_of(name, 1, None, "int8") for name in "abcd"]

    for order in itertools.permutations(listed):
        assert [each.variant for each in ranked(order)] == list("abcd")
