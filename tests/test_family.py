import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.bundle import BundleFile, Manifest
from serving.errors import UnknownVariant
from serving.family import by_preference, order
from tests.bundles import evaluation


def manifest(variant, size, accuracy):
    file = BundleFile(sha256="0" * 64, bytes=size)
    return Manifest.model_construct(
        family="f",
        variant=variant,
        bytes=size,
        files={"model.onnx": file},
        evaluations={} if accuracy is None else {"test": evaluation(accuracy)},
    )


FAMILIES = st.lists(
    st.tuples(st.integers(1, 100), st.none() | st.sampled_from([0.7, 0.8, 0.9])),
    min_size=1,
    max_size=6,
).map(lambda rows: [manifest(f"v{i}", *row) for i, row in enumerate(rows)])


@given(FAMILIES, st.booleans())
def test_auto_tries_the_most_accurate_first_and_then_only_smaller_ones(manifests, allow):
    names = order(manifests, "auto", allow)

    size = {m.variant: m.bytes for m in manifests}
    assert names[0] == by_preference(manifests)[0].variant
    assert len(names) == len(set(names))
    assert all(size[name] < size[names[0]] for name in names[1:])
    assert [size[n] for n in names[1:]] == sorted((size[n] for n in names[1:]), reverse=True)
    if not allow:
        assert len(names) == 1


@given(FAMILIES, st.booleans())
def test_a_named_variant_is_pinned(manifests, allow):
    for each in manifests:
        assert order(manifests, each.variant, allow) == [each.variant]


def test_an_unknown_variant_is_refused_with_the_names_that_there_are():
    with pytest.raises(UnknownVariant) as refused:
        order([manifest("a", 1, 0.9), manifest("b", 2, 0.8)], "c", allow_degraded=True)

    assert refused.value.limit == ["auto", "a", "b"]


def test_the_smaller_of_equally_accurate_variants_is_preferred():
    chosen = by_preference([manifest("big", 9, 0.9), manifest("small", 1, 0.9)])[0]

    assert chosen.variant == "small"
