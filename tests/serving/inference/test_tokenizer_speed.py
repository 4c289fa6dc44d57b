"""Tokenizers that are slow on a short text: refused when tried, and never on the event loop."""

import asyncio
import json
import os
import subprocess
import sys
from threading import Event
from types import SimpleNamespace

import pytest

from serving.background import Threads
from serving.batching.queue import Terms
from serving.bundles.bundle import read_bundle
from serving.errors import BundleError, DeadlineMissed
from serving.inference.tokenizer import Tokenizer
from serving.large_work import LargeWork
from serving.protocols.token_lists import TokenLists
from serving.variants.classifier import Classifier
from tests.support.bundles import write_bundle

LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def replaced(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


def written(folder, **parts):
    """The tokenizer of a bundle with other parts."""
    write_bundle(folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))
    return Tokenizer(path, 64)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize(
    "parts",
    [
        {"pre_tokenizer": split("(x+x+)+y")},
        {"pre_tokenizer": split("(k|k|kk)+$")},
        {"pre_tokenizer": split("a+a+b")},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "BertPreTokenizer"}, split(r"(\d|\d\d)+$")]}},
        {"pre_tokenizer": split("(foo|foofoo)+z")},
        {"normalizer": replaced({"Regex": r"(\s|\s\s)+z"}, " ")},
        {"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Lowercase"}, replaced({"Regex": "(#|##)+[.]"}, "")]}},
        {"normalizer": replaced({"String": "%"}, "good " * 9000)},
    ],
    ids=lambda parts: json.dumps(parts)[:60],
)  # fmt: skip
def test_one_that_takes_long_for_some_short_text_is_refused_with_the_text(tmp_path, parts, pairs):
    tokenizer = written(tmp_path, **parts)

    assert tokenizer.thread is not None
    with pytest.raises(BundleError, match=r"tokenizer.json takes .* s for the \d+ characters '"):
        tokenizer.check_speed(pairs=pairs)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"pre_tokenizer": split(LLAMA)},
        {"pre_tokenizer": split(LLAMA.replace("{1,3}", ""))},
        {"pre_tokenizer": split("[0-9][0-9][0-9]")},
        {"pre_tokenizer": split(r"\p{N}{1,3}")},
        {"normalizer": replaced({"Regex": " {2,}"}, " ")},
        {"normalizer": replaced({"String": "``"}, '"')},
    ],
    ids=lambda parts: json.dumps(parts)[:60],
)
def test_what_many_models_have_is_known_to_be_quick(tmp_path, parts):
    assert written(tmp_path, **parts).thread is None


def test_an_unknown_pattern_that_is_quick_is_served_in_a_thread(tmp_path):
    tokenizer = written(tmp_path, pre_tokenizer=split(r"(good|bad)\s+| "))

    tokenizer.check_speed(pairs=False)

    assert tokenizer.thread is not None
    assert tokenizer.encode(["good film"])[0].length > 2


@pytest.fixture
def hanging(tmp_path):
    """A bundle, and a tokenizer that hangs until `end` is set."""
    write_bundle(tmp_path)
    end = Event()
    tokenizer = SimpleNamespace(
        thread=Threads(1, "slow"), side="right", encode=lambda *_, **__: end.wait(),
        count_tokens=lambda *_, **__: end.wait(),
    )  # fmt: skip
    yield read_bundle(tmp_path), tokenizer
    end.set()


async def test_a_text_that_never_ends_holds_neither_the_loop_nor_its_caller(hanging):
    bundle, tokenizer = hanging
    clock = asyncio.get_running_loop().time
    work = LargeWork(60, clock)
    classifier = Classifier(bundle, tokenizer, None, work, clock, windowing=None)

    for _ in range(2):  # the second waits for the first, which never ends
        with pytest.raises(DeadlineMissed, match="took until the deadline"):
            await classifier.classify(["x"], Terms(clock() + 0.05), long="truncate")


async def test_a_text_whose_tokens_are_asked_for_does_not_hold_the_loop(hanging):
    _, tokenizer = hanging
    service = SimpleNamespace(settings=SimpleNamespace(max_texts=1), large_work=LargeWork(0.05))
    lists = TokenLists(tokenizer, ["x"], special=True)

    with pytest.raises(DeadlineMissed, match="took until the deadline"):
        await lists.response(service, None, whole=True)


def test_a_text_that_hangs_does_not_keep_the_process_alive():
    program = (
        "import time\nfrom serving.background import Threads\n"
        "Threads(1, 'slow').submit(time.sleep, 1000)\nprint('ended')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_the_library_writes_no_backtrace_of_a_text_that_it_fails_on(tmp_path):
    written(tmp_path, pre_tokenizer=split("(x+x+)+y"))
    program = (
        "from pathlib import Path\nfrom serving.inference.tokenizer import Tokenizer\n"
        f"print(Tokenizer(Path({str(tmp_path / 'tokenizer.json')!r}), 64).encode(['x' * 60])[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"RUST_BACKTRACE": "1"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert "retry-limit" in done.stderr
    assert "stack backtrace" not in done.stderr
