"""Who wants which input: the same one is run once for all that want it, or not at all if known.

It does not know when an input is run, nor by what.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from serving.batching.queue import Waiting
from serving.bundles.bundle import VariantKey
from serving.errors import ServedError
from serving.inference.inputs import Item

Content = tuple[VariantKey, bytes]
"""What decides the logits: the version, and a digest of the input as the engine reads it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Logits of one text, one a label, and the seconds spent getting them; 0 if known before.

    `turn_s` is the fair time of the turn at which it ran.
    """

    logits: list[float]
    queue_s: float
    engine_s: float
    turn_s: float | None = None


@dataclass(eq=False, slots=True)
class Text:
    """One input that waits or runs, and the groups that want it.

    Without `content` no group that comes later may join them.
    """

    item: Item
    content: Content | None
    waiting: Waiting | None = None
    groups: set["Group"] = field(default_factory=set)

    def fail(self, error: ServedError) -> None:
        """Fail every group that wants it."""
        for group in self.groups:
            if not group.future.done():
                group.future.set_exception(error)


@dataclass(eq=False, slots=True)
class Group:
    """The inputs of one request; they are answered together or fail together.

    `wanted` has for each input its places among the answers.
    """

    future: asyncio.Future[list[Answered]]
    joined_s: float
    answers: list[Answered | None]
    wanted: dict[Text, list[int]] = field(default_factory=dict)

    @property
    def known(self) -> int:
        """How many are answered."""
        return sum(answer is not None for answer in self.answers)

    def answer(self, text: Text, answered: Answered) -> None:
        """Note an answer in all its places; the last one ends the wait."""
        for place in self.wanted.pop(text):
            self.answers[place] = answered
        if not self.wanted and not self.future.done():
            self.future.set_result(self.complete())

    def complete(self) -> list[Answered]:
        """All answers, in order, once nothing is wanted any more."""
        return [answer for answer in self.answers if answer]


class Sharing:
    """What waits or runs now, and the logits that were asked for last, by content."""

    def __init__(self, cache_texts: int) -> None:
        """Keeps the logits of at most so many inputs; 0 keeps none."""
        self._cache_texts = cache_texts
        self._texts: dict[Content, Text] = {}
        self._logits: OrderedDict[Content, list[float]] = OrderedDict()

    def collect(
        self, group: Group, variant: VariantKey, items: Sequence[Item], *, reuse: bool
    ) -> list[Text]:
        """Answer what is known and want the rest; those of the rest that nobody runs yet."""
        new: dict[Content, Text] = {}
        fresh = []
        for place, item in enumerate(items):
            content = (variant, item.digest()) if reuse else None
            if content and content in self._logits:
                self._logits.move_to_end(content)
                group.answers[place] = Answered(self._logits[content], 0.0, 0.0)
                continue
            text = (self._texts.get(content) or new.get(content)) if content else None
            if not text:
                text = Text(item, content)
                fresh.append(text)
                if content:
                    new[content] = text
            group.wanted.setdefault(text, []).append(place)
        return fresh

    def join(self, group: Group) -> None:
        """The group waits for what it wants, and others may join it there."""
        for text in group.wanted:
            text.groups.add(group)
            if text.content:
                self._texts[text.content] = text

    def leave(self, group: Group) -> list[Text]:
        """The group waits no more; the texts that now nobody wants."""
        for text in group.wanted:
            text.groups.discard(group)
        return [text for text in group.wanted if not text.groups]

    def finish(self, text: Text, logits: list[float]) -> None:
        """Keep a text's logits, and let go of those that nobody has asked for the longest."""
        self.forget(text)
        if text.content and self._cache_texts:
            self._logits[text.content] = logits
            if len(self._logits) > self._cache_texts:
                self._logits.popitem(last=False)

    def forget(self, text: Text) -> None:
        """Nobody may join it any more."""
        if text.content:
            self._texts.pop(text.content, None)
