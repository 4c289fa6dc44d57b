"""Turns the labelled texts of downloaded packages into lines of JSON that a recipe can read."""

import contextlib
import csv
import email
import email.policy
import html
import io
import json
import re
from collections.abc import Iterator
from email.message import EmailMessage, MIMEPart

from models.data.splits import normalised

_ESCAPE = re.compile(r"\\+(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([ntr'\"]))")
_MARKUP = re.compile(r"(?is)<(script|style)\b.*?</\1\s*>|<!--.*?-->|</?[a-z!][^>]*>")
_REPLY = re.compile(r"(?i)^(?:\s*(?:re|fwd?|aw)(?:\[\d+\])?:|\s*\[[^]]*\])*")


def rated_lines(kind: str, sentences: str) -> Iterator[str]:
    """Convert lines of `id TAB mean rating TAB text` to JSON; sentence 3 of review 7 is `7_3`.

    The group, whose sentences must not be in two splits, is the review; where a text is a whole
    review, it is the text.
    """
    for line in filter(None, sentences.split("\n")):
        identifier, rating, text = line.split("\t", 2)
        review = identifier.partition("_")[0] if "_" in identifier else normalised(text)
        group = f"{kind.removesuffix('s')} {review}"
        yield json.dumps({"text": text.strip(), "rating": float(rating), "group": group}) + "\n"


def review_lines(table: str) -> Iterator[str]:
    """Convert a CSV table of labels and reviews, with a sentence a line, to JSON: its sentences."""
    for _, review in csv.reader(io.StringIO(table)):
        for sentence in filter(None, map(str.strip, review.splitlines())):
            yield json.dumps({"text": sentence}) + "\n"


def comment_lines(table: str) -> Iterator[str]:
    """Convert a CSV table of comments with `Comment` and `Insult` (0, 1) to JSON.

    A comment is in quotes of its own, with the escapes of a Python literal.
    """
    for row in csv.DictReader(io.StringIO(table)):
        label = "insult" if row["Insult"] == "1" else "harmless"
        yield json.dumps({"text": _unescaped(row["Comment"]), "label": label}) + "\n"


def email_line(source: bytes, label: str) -> str | None:
    """Convert an email to JSON: its subject and text, markup removed; None if it has no text.

    The group is the subject without marks of replies and lists, or else the text, so that no
    thread is in two splits.
    """
    message = email.message_from_bytes(source, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return None
    content = _content(body)
    if body.get_content_subtype() == "html":
        content = html.unescape(_MARKUP.sub(" ", content))
    subject = str(message["subject"] or "")
    text = " ".join(f"{subject}\n{content}".split())
    group = normalised(_REPLY.sub("", subject)) or normalised(text)
    return json.dumps({"text": text, "label": label, "group": group}) + "\n" if text else None


def _unescaped(comment: str) -> str:
    """Replace escapes, whose bytes are UTF-8 or else Latin-1."""

    def character(found: re.Match[str]) -> str:
        byte, unit, name = found.groups()
        return " " if name in {"n", "t", "r"} else name or chr(int(byte or unit, 16))

    text = _ESCAPE.sub(character, comment.strip('"'))
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode()
    return " ".join(text.split())


def _content(body: MIMEPart) -> str:
    try:
        return str(body.get_content())
    except LookupError:  # an encoding that does not exist
        payload = body.get_payload(decode=True)
        assert isinstance(payload, bytes)
        return payload.decode("latin-1")
