"""The public workflows: tests on the oldest and the newest ComfyUI before anything is published."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tomllib
import yaml

from tools.comfyui.run_hosts import OLDEST

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text("utf-8"))["jobs"]


def test_the_host_suite_runs_on_the_oldest_supported_comfyui_and_on_the_newest() -> None:
    job = jobs("test.yml")["comfyui"]
    oldest = "v" + ".".join(map(str, OLDEST))
    assert job["strategy"]["matrix"]["comfyui"] == [oldest, "master"]
    assert not job["strategy"]["fail-fast"]
    (host, pack) = (step["with"] for step in job["steps"] if "checkout" in step.get("uses", ""))
    assert host["repository"] == "Comfy-Org/ComfyUI" and host["ref"] == "${{ matrix.comfyui }}"
    assert pack["path"].startswith(f"{host['path']}/custom_nodes/")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["comfy"]["requires-comfyui"] == f">={oldest[1:]}"


def test_publishing_needs_all_tests() -> None:
    publish = jobs("publish.yml")
    assert publish["publish"]["needs"] == "test"
    called = {"uses": "./.github/workflows/test.yml", "permissions": {"contents": "read"}}
    assert publish["test"] == called


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_pinned_by_commit(file: Path) -> None:
    used = re.findall(r"uses: (?!\./)(\S+)", file.read_text("utf-8"))
    assert used and all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action) for action in used)
