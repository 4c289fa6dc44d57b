"""The texts of a request that are answered in windows: what runs for them, and what comes of it."""

import asyncio
from collections.abc import Sequence

from serving.batching.interface import InferenceResult
from serving.batching.queue import Terms
from serving.bundles.bundle import Manifest
from serving.errors import TextTooLong, TooManyTexts
from serving.inference.inputs import Item
from serving.inference.windows import Cut, WholeText, Windowing, joined, windows_of
from serving.variants.answers import Classified, InWindows


class Windowed:
    """Replaces the long texts of one variant's pass by their windows, and joins these again."""

    def __init__(self, manifest: Manifest, windowing: Windowing) -> None:
        self._manifest = manifest
        self._windowing = windowing
        self._cuts: dict[int, Cut] = {}
        self._found: dict[int, InWindows] = {}

    def add(self, index: int, text: WholeText) -> None:
        """Cut the text at this place of the request. Raises TextTooLong."""
        try:
            self._cuts[index] = windows_of(text, self._manifest, self._windowing)
        except TextTooLong as error:
            error.field = f"texts[{index}]"
            raise

    def items(self, items: Sequence[Item], terms: Terms) -> list[Item]:
        """Return what runs: all items in order, windows in place of what was cut.

        The request's terms are told how many more that makes. Raises TooManyTexts.
        """
        run: list[Item] = []
        for index, item in enumerate(items):
            run += self._cuts[index].windows if index in self._cuts else [item]
        if len(run) > self._windowing.most_together:
            raise TooManyTexts(
                "so many windows exceed SIZEWISE_MAX_QUEUE_TEXTS together: send fewer long texts",
                field="texts",
                limit=self._windowing.most_together,
                value=len(run),
            )
        if terms.on_windows:
            terms.on_windows(len(run) - len(items))
        return run

    async def joined(
        self, items: Sequence[Item], results: Sequence[InferenceResult]
    ) -> list[InferenceResult]:
        """Return one result for each of the items, given those of what ran for them."""
        one_each: list[InferenceResult] = []
        place = 0
        for index in range(len(items)):
            if not (its_cut := self._cuts.get(index)):
                one_each.append(results[place])
                place += 1
                continue
            count = len(its_cut.windows)
            its = results[place : place + count]
            place += count
            await asyncio.sleep(0)
            logits, deciding = joined(
                [each.logits for each in its], self._manifest, self._windowing
            )
            tags_s = [each.start_tag_s for each in its if each.start_tag_s is not None]
            one_each.append(
                InferenceResult(
                    logits,
                    max(each.queue_s for each in its),
                    max(each.engine_s for each in its),
                    min(tags_s, default=None),
                )
            )
            self._found[index] = InWindows(count, [its_cut.spans[each] for each in deciding])
        return one_each

    def noted(self, classified: Classified) -> Classified:
        """Let the answers say which texts were cut into windows: nothing of these is missing."""
        for index, found in self._found.items():
            answer = classified.answers[index]
            answer.windows, answer.truncated = found, None
        return classified
