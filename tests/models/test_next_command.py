"""What is printed to be run next, as a shell reads it."""

import subprocess
from pathlib import Path

from models.next_command import quoted, serving


def test_a_shell_reads_a_registry_and_variants_of_any_name():
    registry = Path("/data/Größe & 'Maß'/$HOME")
    shown = serving(registry, ["a", "b"]).replace("python -m serving", "env")

    ran = subprocess.run(["/bin/sh", "-c", shown], capture_output=True, text=True, check=True)

    assert f"SIZEWISE_REGISTRY={registry}" in ran.stdout.splitlines()
    assert "SIZEWISE_VARIANTS=a,b" in ran.stdout.splitlines()


def test_plain_names_stay_as_they_are():
    assert serving(Path("build/registry")) == "SIZEWISE_REGISTRY=build/registry python -m serving"
    assert quoted(Path("recipes/own.toml")) == "recipes/own.toml"
