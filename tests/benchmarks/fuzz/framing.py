"""Which requests some bytes hold, by a parser that is as strict as HTTP/1.1 allows."""

from dataclasses import dataclass, field

import httptools


@dataclass
class Framing:
    methods: list = field(default_factory=list)
    """The methods of the heads that are complete, in order."""
    complete: int = 0
    """Requests that are complete."""
    is_whole: bool = False
    """Nothing is malformed, and nothing lacks."""


class _Listener:
    def __init__(self, framing):
        self.framing, self.parser, self.inside = framing, None, False

    def on_message_begin(self):
        self.inside = True

    def on_headers_complete(self):
        self.framing.methods.append(self.parser.get_method().decode("latin-1"))

    def on_message_complete(self):
        if not self.parser.should_upgrade():
            self.framing.complete += 1
            self.inside = False


def framing_of(content):
    """What these bytes hold."""
    found = Framing()
    listener = _Listener(found)
    listener.parser = httptools.HttpRequestParser(listener)
    try:
        listener.parser.feed_data(content)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return found
    found.is_whole = found.complete > 0 and not listener.inside
    return found
