"""What a team writes that serves an ONNX classifier with FastAPI: peers of Sizewise.

`plain` runs each request's texts by themselves in FastAPI's threads, `plain_async` on the event
loop, both in as many uvicorn workers as there are cores; `batcher` is one process that sorts up to
16 waiting texts by length and splits at 256 padded tokens, with one engine thread a core.

    PEER_BUNDLE=FOLDER PEER_EXPORT=FOLDER python -m tests.benchmarks.fastapi_peers PEER PORT

The bundle has the labels and the tokenizer, the export the graph. All have the session options of
serving/inference/ort_engine.py, with one thread a run.
"""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import onnxruntime
import tokenizers
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from serving.bundles.bundle import read_bundle
from serving.inference.cpu import usable_cores
from serving.inference.ort_engine import _session_options
from tests.benchmarks.bench_policies import sorted_batches

MOST_WAITING = 16
MOST_PADDED_TOKENS = 256


class Request(BaseModel):
    texts: list[str]


class Result(BaseModel):
    label: str
    score: float
    scores: dict[str, float]


class Answer(BaseModel):
    results: list[Result]


class Classifier:
    def __init__(self):
        bundle = read_bundle(Path(os.environ["PEER_BUNDLE"]))
        self._labels = bundle.manifest.labels
        self._pad_id = bundle.manifest.pad_token_id
        self._tokenizer = tokenizers.Tokenizer.from_file(str(bundle.tokenizer_path))
        if hasattr(self._tokenizer, "no_padding"):  # tokenizers before 1.0
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(bundle.manifest.max_length)
        else:
            self._tokenizer.padding = None
        self._session = onnxruntime.InferenceSession(
            Path(os.environ["PEER_EXPORT"]) / "model.onnx",
            _session_options(1),
            providers=["CPUExecutionProvider"],
        )

    def encode(self, texts):
        encode = getattr(self._tokenizer, "encode_batch_fast", self._tokenizer.encode_batch)
        return [encoding.ids for encoding in encode(texts)]

    def run(self, encoded):
        longest = max(map(len, encoded))
        ids = np.full((len(encoded), longest), self._pad_id, np.int64)
        mask = np.zeros_like(ids)
        for row, each in enumerate(encoded):
            ids[row, : len(each)] = each
            mask[row, : len(each)] = 1
        (logits,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return [self._result(row) for row in (powers / powers.sum(1, keepdims=True)).tolist()]

    def answer(self, request):
        return Answer(results=self.run(self.encode(request.texts)))

    def _result(self, scores):
        best = max(range(len(scores)), key=scores.__getitem__)
        by_label = dict(zip(self._labels, scores, strict=True))
        return Result(label=self._labels[best], score=scores[best], scores=by_label)


def plain():
    app = FastAPI()
    classifier = Classifier()

    @app.post("/v1/classify")
    def classify(request: Request) -> Answer:
        return classifier.answer(request)

    return app


def plain_async():
    app = FastAPI()
    classifier = Classifier()

    @app.post("/v1/classify")
    async def classify(request: Request) -> Answer:
        return classifier.answer(request)

    return app


class Batcher:
    def __init__(self, classifier):
        self._classifier = classifier
        self._queue = asyncio.Queue()
        self._slots = asyncio.Semaphore(usable_cores())
        self._threads = ThreadPoolExecutor(usable_cores())
        self._tasks = {asyncio.create_task(self._work())}

    async def answer(self, text):
        future = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((text, future))
        return await future

    async def _work(self):
        while True:
            await self._slots.acquire()
            waiting = [await self._queue.get()]
            while len(waiting) < MOST_WAITING and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            encoded = self._classifier.encode([text for text, _ in waiting])
            plan = sorted_batches(list(map(len, encoded)), MOST_PADDED_TOKENS)
            for number, part in enumerate(plan):
                if number:
                    await self._slots.acquire()
                futures = [waiting[index][1] for index in part]
                running = asyncio.create_task(self._run([encoded[i] for i in part], futures))
                self._tasks.add(running)
                running.add_done_callback(self._tasks.discard)

    async def _run(self, encoded, futures):
        loop = asyncio.get_running_loop()
        results = await loop.run_in_executor(self._threads, self._classifier.run, encoded)
        self._slots.release()
        for future, result in zip(futures, results, strict=True):
            if not future.done():
                future.set_result(result)


def batcher():
    @asynccontextmanager
    async def lifespan(app):
        app.state.batcher = Batcher(Classifier())
        yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/classify")
    async def classify(request: Request) -> Answer:
        answers = (app.state.batcher.answer(text) for text in request.texts)
        return Answer(results=await asyncio.gather(*answers))

    return app


if __name__ == "__main__":
    kind, port = sys.argv[1:]
    uvicorn.run(
        f"tests.benchmarks.fastapi_peers:{kind}",
        factory=True,
        port=int(port),
        workers=1 if kind == "batcher" else usable_cores(),
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http="httptools",
    )
