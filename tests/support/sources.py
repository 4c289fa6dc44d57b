"""A copy of the programs' sources, for a test to change."""

import shutil

from models.source_hashes import ROOT


def copy_sources(folder):
    ignored = shutil.ignore_patterns("registry", "*.pyc")
    for program in ("models", "serving"):
        shutil.copytree(ROOT / program, folder / program, ignore=ignored)
    return folder
