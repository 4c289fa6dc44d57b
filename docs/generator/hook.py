"""The MkDocs hook: fills in generated parts, draws the imports, lists folders of dated pages."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from docs.generator.parts import PARTS

IMPORTS = "development/imports.svg"
_MARKER = re.compile(r"^<!-- generated: (.+?) -->$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let a folder in the navigation (`development/decisions/`) stand for its pages."""
    if config.nav is not None:
        config.nav = _with_pages(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Draw the packages and the imports between them. Raises PluginError when there is a circle."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "imports.svg"
        drawn = subprocess.run(  # noqa: S603  this Python, a fixed module
            [sys.executable, "-m", "tests.project.draw_imports", str(path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if drawn.returncode:
            raise PluginError(f"{IMPORTS} cannot be drawn: {drawn.stdout}{drawn.stderr}")
        files.append(File.generated(config, IMPORTS, content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in the generated parts. Raises PluginError on an unknown name."""

    def part(marker: re.Match[str]) -> str:
        if marker[1] not in PARTS:
            known = ", ".join(sorted(PARTS))
            raise PluginError(f"{page.file.src_uri}: no part {marker[1]!r}: use one of {known}")
        return PARTS[marker[1]]()

    if page.file.src_uri.startswith("development/"):
        # A search finds what a user needs before why it became so.
        page.meta.setdefault("search", {"boost": 0.5})
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
