"""PIE-Bench's data layout in miniature, generated here, through the command that runs the real one."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from demo.world.scenes import draw, random_scene

pytestmark = [pytest.mark.host, pytest.mark.real_host]

MODULE = "benchmarks.real.pie_bench"


def miniature(folder: Path) -> Path:
    """Two pictures of 64 pixels in folders by category, with prompts, words and masks."""
    entries: dict[str, Any] = {}
    for number, seed in enumerate((4, 7)):
        drawn = random_scene(random.Random(seed))
        place = f"{number}_random_140/{number:09}.jpg"
        file = folder / "annotation_images" / place
        file.parent.mkdir(parents=True)
        draw(drawn, pixels=64).save(file)
        caption = drawn.caption
        kind = drawn.things[0].kind
        runs = [run for row in range(128, 384) for run in (row * 512 + 128, 256)]
        entries[f"{number:012}"] = {
            "image_path": place,
            "original_prompt": caption.replace(kind, f"[{kind}]"),
            "editing_prompt": caption.replace(kind, "[star]"),
            "editing_instruction": "",
            "editing_type_id": str(number),
            "blended_word": f"{kind} star",
            "mask": runs,
        }
    (folder / "mapping_file.json").write_text(json.dumps(entries), "utf-8")
    return folder


def run(data: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    options = ["--data", str(data), "--checkpoint", "demo", "--cpu", "--steps", "2", "--out", str(out), *more]
    command = [sys.executable, "-m", MODULE, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


def test_the_command_writes_the_table(tmp_path: Path):
    data = miniature(tmp_path / "data")
    made = run(data, tmp_path / "out")
    assert made.returncode == 0, made.stderr[-2000:]
    (folder,) = (tmp_path / "out").iterdir()
    table = (folder / "table.md").read_text("utf-8")
    ways = [row.split("|")[1].strip() for row in table.splitlines()[2:]]
    assert ways[0] == "DDIM inversion" and "pinned, Local Blend" in ways and "null-text inversion" not in ways
    assert all(row.split("|")[2].strip() == "2" for row in table.splitlines()[2:])
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*.json")}
    again = run(data, tmp_path / "out")  # all is there
    assert again.returncode == 0 and before == {f: f.stat().st_mtime_ns for f in folder.glob("*.json")}
    pinned = [json.loads(file.read_text("utf-8"))["ways"]["pinned"] for file in before]
    assert all(0 < score["ssim"] <= 1 and score["structure"] >= 0 for score in pinned)


def test_a_folder_without_the_set_is_refused(tmp_path: Path):
    made = run(tmp_path, tmp_path / "out")
    assert made.returncode == 1 and "mapping_file.json" in made.stderr
