"""The front end's code that runs without a page, under Node's own test runner."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from p2p_core.edits.presets import TABLE
from p2p_core.words.fields import CHARACTERS

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(ROOT.glob("web/js/**/*.js"))
HOSTS = {"app.js", "api.js"}


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_words_are_found_in_graphs_and_versions_are_told_apart(tmp_path: Path) -> None:
    lib = shutil.copytree(ROOT / "web" / "js" / "lib", tmp_path / "lib")
    (lib / "package.json").write_text('{"type": "module"}', "utf-8")
    command = ["node", "--test", str(ROOT / "tests" / "web" / "lib.test.mjs")]
    environment = {**os.environ, "LIB": str(lib)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-4000:]


def test_the_front_end_fills_in_the_numbers_of_the_table() -> None:
    text = (ROOT / "web" / "js" / "lib" / "presets.js").read_text("utf-8")
    found = re.findall(r'"?([a-z ]+)"?: \[([\d.]+), ([\d.]+)\],', text)
    ends = {name.strip(): (float(cross), float(own)) for name, cross, own in found}
    assert ends == {name: (row.cross, row.self_attention) for name, row in TABLE["unet"].items()}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_a_script_is_checked_and_imports_the_hosts_two_modules_alone(script: Path) -> None:
    text = script.read_text("utf-8")
    assert text.startswith("// @ts-check\n")
    for name in re.findall(r'^import .* from "(.+)";$', text, re.MULTILINE):
        if "/scripts/" in name:
            assert name in {f"../../../scripts/{host}" for host in HOSTS}
        else:
            assert (script.parent / name).is_file(), name


@pytest.mark.parametrize("script", sorted(ROOT.glob("web/js/lib/*.js")), ids=lambda file: file.name)
def test_a_helper_does_nothing_when_it_is_loaded(script: Path) -> None:
    """ComfyUI loads every script of the folder in the page, so helpers only declare at their top level."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", script.read_text("utf-8"), flags=re.DOTALL)
    starts = [line for line in text.splitlines() if line and not line[0].isspace()]
    allowed = re.compile(r"(import|export|const|let|class|function|async function|[})\]])")
    assert [line for line in starts if not allowed.match(line)] == []


def test_the_browser_reads_as_much_of_a_field_as_the_nodes_accept() -> None:
    text = (ROOT / "web" / "js" / "lib" / "words.js").read_text("utf-8")
    assert f"export const LONGEST = {CHARACTERS};" in text
