"""The MkDocs hook: fills in generated parts and lists the folders that grow by a file a time."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

from docs.generator.parts import PARTS

_MARKER = re.compile(r"^<!-- generated: (.+?) -->$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let a folder in the navigation (`development/decisions/`) stand for its pages."""
    if config.nav is not None:
        config.nav = _with_pages(config.nav, Path(config.docs_dir))
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in the generated parts. Raises PluginError on an unknown name."""

    def part(marker: re.Match[str]) -> str:
        if marker[1] not in PARTS:
            known = ", ".join(sorted(PARTS))
            raise PluginError(f"{page.file.src_uri}: no part {marker[1]!r}: use one of {known}")
        return PARTS[marker[1]]()

    return _MARKER.sub(part, markdown)


def _with_pages(entries: list[Any], docs: Path) -> list[Any]:
    """The same navigation, each folder replaced by its pages: the index, then the latest."""
    pages: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            ((title, inside),) = entry.items()
            below = _with_pages(inside, docs) if isinstance(inside, list) else inside
            pages.append({title: below})
        elif entry.endswith("/"):
            names = {path.name for path in (docs / entry).glob("*.md")} - {"index.md"}
            dated = all(name[0].isdigit() for name in names)
            pages.append(f"{entry}index.md")
            pages.extend(entry + name for name in sorted(names, reverse=dated))
        else:
            pages.append(entry)
    return pages
