import asyncio
import json

from pydantic_core import to_json

from serving.protocols.large_answer import TURN_SCORES, json_list, with_list
from serving.variants.answers import Answer, Classified, summed_up


def answer_of(texts, labels):
    names = [f"label {index}" for index in range(labels)]
    answers = [
        Answer([float(text)] * labels, [0.0] * labels, "wide", "1", 1.0, None, 0.0, 0.0)
        for text in range(texts)
    ]
    only = Classified(names, None, "wide", "1", answers, 1, 0.0, 0.0, None)
    return summed_up("tone", answers, [only], None)


def scores(answers):
    return to_json([each.scores for each in answers])


async def test_a_large_answer_is_written_in_turns_of_bounded_size():
    texts, labels = 40, TURN_SCORES // 4
    turns, sizes = 0, []

    def write(answers):
        sizes.append(len(answers))
        return scores(answers)

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    written = await json_list(answer_of(texts, labels), write)
    counting.cancel()

    assert json.loads(written) == [[float(text)] * labels for text in range(texts)]
    assert sizes == [4] * 10
    assert turns >= 9


async def test_a_small_answer_is_written_at_once():
    sizes = []
    await json_list(answer_of(32, 3), lambda some: sizes.append(len(some)) or scores(some))

    assert sizes == [32]


def test_a_list_takes_the_place_of_the_field_and_of_no_text():
    fields = {"id": '"data":[]', "data": [], "usage": 1}

    assert json.loads(with_list(fields, "data", b"[2]")) == fields | {"data": [2]}
