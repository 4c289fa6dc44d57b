"""Builds the documentation site with the command of `make docs`."""

import os
import re
import shutil
import subprocess
import sys

from tests.support.processes import ROOT

CONFIG = ROOT / "mkdocs.yml"
MAKEFILE = ROOT / "Makefile"


def build(site, config=CONFIG):
    """(exit status, what MkDocs said) of a build into the folder `site`."""
    (command,) = re.findall(
        r"^\t@.* \S+/python (-m mkdocs .*)$", MAKEFILE.read_text(), re.MULTILINE
    )
    built = subprocess.run(
        [sys.executable, *command.split(), "--config-file", config, "--site-dir", site],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return built.returncode, built.stdout + built.stderr


def build_with(folder, page, text):
    """As `build`, of a copy of the pages in `folder` in which `page` ends with `text`."""
    pages = folder / "docs"
    shutil.copytree(ROOT / "docs", pages)
    with (pages / page).open("a") as file:
        file.write(f"\n{text}\n")
    config = folder / "mkdocs.yml"
    named = {"docs_dir: docs": f"docs_dir: {pages}", "[docs/": f"[{ROOT}/docs/"}
    told = CONFIG.read_text()
    for name, path in named.items():
        assert told.count(name) == 1
        told = told.replace(name, path)
    config.write_text(told)
    return build(folder / "site", config)


def cells(page):
    """The text of every table cell of a built page."""
    return [
        re.sub(r"<[^>]+>", "", cell).strip()
        for cell in re.findall(r"<td[^>]*>(.*?)</td>", page.read_text(), re.DOTALL)
    ]
