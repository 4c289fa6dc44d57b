from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.compression.estimates import distill_s, training_texts
from models.compression.facts import Facts, ModelFacts
from models.compression.plan import Limits, by_nearness, plan
from models.compression.recipe_content import distilled
from models.compression.recipe_files import toml
from models.compression.students import parameters, shapes, size_bytes
from models.recipe import in_parent_order, read_recipe
from tests.support.compression_facts import BASE, MINILM, TEXTS

HOUR = Limits(seconds=3600, max_drop=0.02)
MODELS = st.builds(
    ModelFacts,
    kind=st.sampled_from(["base", "classifier"]),
    layers=st.integers(1, 48),
    width=st.sampled_from([32, 128, 384, 768, 1024]),
    embedding_width=st.sampled_from([32, 128, 768]),
    heads=st.sampled_from([1, 2, 4, 8]),
    intermediate=st.sampled_from([64, 512, 1536, 4096]),
    words=st.integers(50, 250_000),
    parameters=st.integers(10_000, 10**9),
    longest=st.integers(3, 512),
    is_narrowable=st.booleans(),
    is_trimmable=st.booleans(),
    is_cuttable=st.booleans(),
)


def names(found):
    return [step.variant for step in found.steps]


def test_the_teacher_comes_first_and_the_static_student_before_the_slow_ones():
    found = plan(Facts(MINILM, TEXTS, 0.005, 0.005, 0.002), "reviews", "fetched:base", HOUR)

    assert names(found)[:4] == ["teacher-fp32", "teacher-int8", "static-fp32", "static-int8"]
    assert {"half-fp32", "half-int8", "quarter-int8"} <= set(names(found))
    assert not found.left_out


@pytest.mark.parametrize("max_bytes", [None, 8_000_000])
def test_what_takes_too_long_is_left_out_with_the_minutes_that_include_it(max_bytes):
    slow = Facts(BASE, TEXTS, 0.01, 0.01, 0.003)
    limits = replace(HOUR, seconds=600, max_bytes=max_bytes)

    found = plan(slow, "reviews", "mine", limits)

    assert names(found)[0] == "teacher-fp32"
    assert sum(step.seconds for step in found.steps) <= limits.seconds
    assert found.left_out
    assert [each.variant for each in found.left_out] == [each.variant for each in found.later]
    for each in found.left_out:
        minutes = int(each.reason.partition("--minutes ")[2].split()[0])
        enough = plan(slow, "reviews", "mine", replace(limits, seconds=60 * minutes))
        assert each.variant in names(enough)


@given(st.floats(60, 7200), st.sampled_from([None, 8_000_000]))
def test_no_student_is_planned_without_the_time_for_its_number_format(seconds, max_bytes):
    limits = replace(HOUR, seconds=seconds, max_bytes=max_bytes)

    found = names(plan(Facts(BASE, TEXTS, 0.01, 0.01, 0.003), "reviews", "mine", limits))

    for name in ("static", "half", "quarter", "tiny"):
        assert (f"{name}-fp32" in found) == (f"{name}-int8" in found)


def test_what_can_be_small_enough_is_made_before_what_cannot():
    texts, limits = replace(TEXTS, labels={}), replace(HOUR, max_bytes=8_000_000)
    classifier = replace(MINILM, kind="classifier")

    found = names(plan(Facts(classifier, texts, 0.005, 0.005, 0.002), "reviews", "mine", limits))

    small = {"static-fp32", "static-int8", "quarter-fp32", "quarter-int8", "tiny-fp32", "tiny-int8"}
    assert found[0] == "teacher-fp32"
    assert set(found[1 : 1 + len(small)]) == small
    assert found[1 + len(small) :] == ["teacher-int8", "half-fp32", "half-int8"]


@given(st.floats(90, 3600))
def test_a_teacher_is_trained_only_if_time_is_left_for_what_is_smaller(seconds):
    limits = replace(HOUR, seconds=seconds)

    found = plan(Facts(MINILM, TEXTS, 0.005, 0.005, 0.002), "reviews", "fetched:base", limits)

    if "teacher-fp32" in names(found):
        assert {"teacher-int8", "static-fp32", "static-int8"} <= set(names(found))
        assert sum(step.seconds for step in found.steps) <= seconds
    else:
        assert names(found) == ["static-fp32", "static-int8"]
        assert "--minutes" in found.left_out[0].reason


def test_the_minutes_that_include_the_teacher_do_include_it():
    facts = Facts(MINILM, TEXTS, 0.005, 0.005, 0.002)
    left = plan(facts, "reviews", "fetched:base", replace(HOUR, seconds=60)).left_out[0]
    minutes = int(left.reason.partition("--minutes ")[2].split()[0])

    found = plan(facts, "reviews", "fetched:base", replace(HOUR, seconds=60 * minutes))

    assert names(found)[0] == left.variant == "teacher-fp32"


def test_a_student_of_a_variant_that_is_left_out_is_left_out_too():
    found = plan(Facts(BASE, TEXTS, 0.1, 0.1, 0.03), "reviews", "mine", replace(HOUR, seconds=600))

    made = set(names(found))
    parents = {step.content.get("parent", "teacher-fp32") for step in found.steps}
    assert parents <= made


def test_a_model_that_cannot_read_the_texts_makes_room_for_a_static_one_that_can():
    found = plan(
        Facts(MINILM, replace(TEXTS, unknown=0.64), 0.005, 0.005, 0.002), "zh", "fetched:base", HOUR
    )

    assert names(found) == ["static-fp32", "static-int8"]
    assert found.steps[0].content["static"]["vocabulary"] == "learnt"
    assert "does not know 64% of the texts' tokens" in found.left_out[0].reason


def test_formats_alone_train_nothing():
    limits = replace(HOUR, formats_only=True)

    found = plan(Facts(BASE, TEXTS, 0.005, 0.005, 0.002), "reviews", "mine", limits)

    assert [next(iter(step.content.keys() - {"family", "data", "parent"})) for step in found.steps]
    assert names(found) == [
        "teacher-fp32", "teacher-int8", "teacher-static", "teacher-openvino", "teacher-int4",
    ]  # fmt: skip


def test_students_nearest_to_the_wanted_size_come_first():
    facts = Facts(BASE, TEXTS, 0.005, 0.005, 0.002)
    sizes = {shape.name: size_bytes(BASE, shape, "int8") for shape in shapes(BASE)}
    for shape, size in sizes.items():
        assert by_nearness(facts, size)[0].name == shape
    # One that is above the limit comes last, however near.
    assert by_nearness(facts, sizes["half"] - 1)[-1].name == "half"


def test_unlabelled_texts_are_answered_by_the_classifier_and_teach_without_labels():
    texts = replace(TEXTS, labels={}, labelled=(), unlabelled=("texts.csv",))

    found = plan(Facts(BASE, texts, 0.005, 0.005, 0.002), "reviews", "mine", HOUR)

    data = found.steps[0].content["data"]
    assert (data["truth"], data["files"], data["unlabelled"]) == ("teacher", ["texts.csv"], None)
    half = next(step for step in found.steps if step.variant == "half-fp32")
    assert half.content["distill"]["label_weight"] == 0


@pytest.mark.parametrize(("precision", "written"), [("fp32", None), ("bf16", "bf16")])
def test_trainings_have_the_precision_that_is_fast_here(precision, written):
    found = plan(
        Facts(MINILM, TEXTS, 0.005, 0.005, 0.002, precision), "reviews", "fetched:base", HOUR
    )

    sections = [step.content.get("train") or step.content.get("distill") for step in found.steps]
    assert {each["precision"] for each in sections if each} == {written}


def test_students_that_are_narrower_are_fitted_first_and_learn_at_a_low_rate():
    found = plan(Facts(BASE, TEXTS, 0.005, 0.005, 0.002), "reviews", "mine", HOUR)

    students = [each.content["distill"] for each in found.steps if "distill" in each.content]
    assert {(each["width"], each["hidden_tokens"], each["learning_rate"]) for each in students} == {
        (None, None, 1.5e-4),
        (384, "all", 1e-4),
        (256, "all", 1.5e-4),
    }


def test_a_teacher_that_is_asked_for_states_takes_longer():
    tiny, facts = shapes(MINILM)[-1], Facts(MINILM, TEXTS, 0.005, 0.005, 0.002)
    fitted = distilled(facts, tiny, 0.02)["distill"]
    first = fitted | {"hidden_tokens": "first"}

    more_s = distill_s(facts, tiny, fitted) - distill_s(facts, tiny, first)

    assert more_s >= training_texts(TEXTS) * facts.scoring_s


@settings(max_examples=60)
@given(MODELS, st.integers(3, 10**6), st.floats(1e-5, 1.0), st.floats(60, 10**5))
def test_every_plan_is_of_recipes_that_can_be_read(tmp_path_factory, model, rows, training_s, time):
    labels = {"a": rows - 1, "b": 1}
    facts = Facts(
        model, replace(TEXTS, rows=rows, labels=labels), training_s, training_s, training_s / 3
    )
    folder = tmp_path_factory.mktemp("recipes")

    found = plan(facts, "reviews", "mine", Limits(seconds=time, max_drop=0.02))

    for step in found.steps:
        path = folder / f"{step.variant}.toml"
        path.write_text(toml(step.why, step.content))
        assert read_recipe(path).family == "reviews"
    assert {path.stem for path in in_parent_order(folder)} == set(names(found))
    taken_s = found.finish_s + sum(step.seconds for step in found.steps)
    assert len(found.steps) == 1 or taken_s <= time * (1 + 1e-9)


@pytest.mark.parametrize(
    ("kind", "labels"), [("base", True), ("classifier", True), ("classifier", False)]
)
def test_time_is_kept_for_a_cascade_which_only_labelled_texts_have(kind, labels):
    texts = TEXTS if labels else replace(TEXTS, labels={})
    facts = Facts(replace(MINILM, kind=kind), texts, 0.005, 0.005, 0.002)

    found = plan(facts, "reviews", "mine", HOUR)

    assert (found.finish_s > 30) == labels


@given(MODELS)
def test_students_are_smaller_than_their_teacher_and_none_is_there_twice(model):
    found = shapes(model)

    bodies = [replace(each, name="") for each in found]
    assert len(set(bodies)) == len(bodies)
    for shape in found:
        assert parameters(model, shape) < model.parameters
        assert set(shape.layers) <= set(range(model.layers))
        if shape.width:
            assert shape.width < model.width
            assert shape.width % (model.width // model.heads) == 0
            assert shape.width != model.embedding_width


@pytest.mark.parametrize(
    ("texts", "files", "unlabelled"),
    [
        (replace(TEXTS, unlabelled=("plain.csv",)), ["texts.csv"], ["plain.csv", "more.csv"]),
        (replace(TEXTS, labels={}, labelled=(), unlabelled=("a.csv",)), ["a.csv"], ["more.csv"]),
    ],
)
def test_more_texts_are_learnt_from_beside_files_with_labels_or_without(texts, files, unlabelled):
    facts = Facts(BASE, replace(texts, more=("more.csv",)), 0.005, 0.005, 0.002)

    data = plan(facts, "reviews", "my-model", HOUR).steps[0].content["data"]

    assert (data["files"], data["unlabelled"]) == (files, unlabelled)
