"""What a classifier asks of the thread that tokenizes long texts."""

import asyncio
import threading
from time import monotonic
from types import SimpleNamespace

import pytest

from serving.batching.queue import Terms
from serving.bundles.bundle import read_bundle
from serving.errors import DeadlineMissed, TextTooLong
from serving.inference.inputs import Encoding
from serving.large_work import LargeWork
from serving.variants.classifier import Classifier
from tests.support.bundles import write_bundle

LONG = "x" * 20_000


@pytest.fixture
def asked(tmp_path):
    """A classifier, the texts that its tokenizer was asked for, and the thread."""
    write_bundle(tmp_path, max_length=64)
    texts = []

    def encode(piece, *_, **__):
        texts.extend(piece)
        return [Encoding([1] * 64, len(text)) for text in piece]

    tokenizer = SimpleNamespace(thread=None, side="right", encode=encode)
    work = LargeWork(60, monotonic)
    bundle = read_bundle(tmp_path)
    yield Classifier(bundle, tokenizer, None, work, monotonic, windowing=None), texts, work
    work.close()


async def test_nothing_is_tokenized_after_the_first_text_that_is_refused(asked):
    classifier, texts, _ = asked

    sent = ["x" * 64, LONG, *["y" * 20_000] * 50]

    with pytest.raises(TextTooLong, match=r"texts\[1\] has 20000 tokens"):
        await classifier.classify(sent, Terms(monotonic() + 60), long="refuse")

    assert texts == ["x" * 64, LONG]


async def test_a_request_waits_for_the_thread_until_its_deadline_and_leaves_nothing_to_do(asked):
    classifier, texts, work = asked
    end = threading.Event()
    busy = asyncio.create_task(work.do(end.wait))
    await asyncio.sleep(0)

    with pytest.raises(DeadlineMissed, match="took until the deadline"):
        await classifier.classify([LONG], Terms(monotonic() + 0.05), long="truncate")

    await asyncio.sleep(0)
    end.set()
    await busy
    await work.do(int)
    assert texts == []
