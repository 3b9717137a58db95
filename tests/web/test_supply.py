"""What the repository takes from elsewhere is fixed by hash or commit, and what it publishes was tested."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from tools.release.archive import files, write

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
HASHED = ["requirements-dev", ".github/requirements"]
LISTED = """
__init__.py LICENSE README.md CHANGELOG.md SECURITY.md pyproject.toml requirements.txt
p2p_core/*.py p2p_core/*/*.py nodes/*.py nodes/*/*.py
demo/__init__.py demo/world/*.py demo/model/*.py demo/model/*.md demo/model/*.safetensors
demo/model/tokenizer/*
web/js/*.js web/js/lib/*.js web/css/p2p.css web/docs/*.md web/docs/pictures/*.jpg web/docs/pictures/*.png
locales/*/*.json example_workflows/*.json example_workflows/*.jpg example_workflows/api/*.json
"""
CONTENTS = LISTED.split()


# The archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    place = tmp_path_factory.mktemp("dist") / "archive.zip"
    write(place)
    return ZipFile(place)


def test_the_archive_contains_what_is_listed_here_and_nothing_else(archive: ZipFile) -> None:
    names = archive.namelist()
    unknown = [name for name in names if not any(_fits(name, pattern) for pattern in CONTENTS)]
    assert unknown == []
    assert [pattern for pattern in CONTENTS if "*" not in pattern and pattern not in names] == []
    nodes = {file.stem for file in ROOT.glob("web/docs/P2P*.md")}
    assert nodes and {Path(name).stem for name in names if name.startswith("web/docs/P2P")} >= nodes


def _fits(name: str, pattern: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]*"), name) is not None


def test_the_archive_has_the_files_as_they_are(archive: ZipFile) -> None:
    assert {name: archive.read(name) for name in archive.namelist()} == {
        file.relative_to(ROOT).as_posix(): file.read_bytes() for file in files()
    }


def test_the_archive_is_the_same_each_time(archive: ZipFile, tmp_path: Path) -> None:
    write(tmp_path / "again.zip")
    assert archive.filename and Path(archive.filename).read_bytes() == (tmp_path / "again.zip").read_bytes()


# Requirements


@pytest.mark.parametrize("name", HASHED)
def test_every_requirement_has_its_version_and_its_hashes(name: str) -> None:
    text = (ROOT / f"{name}.txt").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    requirement = r"[\w.-]+(\[[\w,-]+\])?==[\w.]+( ; [^#]*?)?(\s+--hash=sha256:[0-9a-f]{64})+"
    assert lines and [line for line in lines if not re.fullmatch(requirement, line.strip())] == []
    assert not re.search(r"://|\s/", text)
    wanted = re.findall(r"^([\w.-]+==\S+)$", (ROOT / f"{name}.in").read_text("utf-8"), re.MULTILINE)
    assert wanted and set(wanted) <= {line.split()[0] for line in lines}


def test_the_tools_are_installed_by_their_hashes() -> None:
    """Only torch is not: its builds differ by platform."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    installs = re.findall(r"pip install (.*)", makefile)
    assert installs == ["--quiet --require-hashes -r requirements-dev.txt", "-r requirements-torch.txt"]
    torch = (ROOT / "requirements-torch.txt").read_text("utf-8").splitlines()
    assert len(torch) == 2 and torch[0].startswith("# ") and re.fullmatch(r"torch==[\d.]+", torch[1])


# Workflows


def steps() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{file.name}: {name}", step)
        for file in WORKFLOWS
        for name, job in yaml.safe_load(file.read_text("utf-8"))["jobs"].items()
        for step in job.get("steps", [])
    ]


def jobs() -> dict[str, dict[str, Any]]:
    loaded = {file.stem: yaml.safe_load(file.read_text("utf-8")) for file in WORKFLOWS}
    return {f"{name}/{job}": content for name, all in loaded.items() for job, content in all["jobs"].items()}


def test_actions_are_used_by_commit() -> None:
    used = [str(step["uses"]) for _, step in steps() if "uses" in step]
    used += [str(job["uses"]) for job in jobs().values() if "uses" in job]
    assert used and [each for each in used if not re.fullmatch(r"\./.*|[\w./-]+@[0-9a-f]{40}", each)] == []


def test_no_checkout_leaves_credentials_behind() -> None:
    checkouts = [step for _, step in steps() if str(step.get("uses", "")).startswith("actions/checkout@")]
    assert checkouts and all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_jobs_may_only_read_and_end_in_time() -> None:
    for file in WORKFLOWS:
        content = yaml.safe_load(file.read_text("utf-8"))
        assert content["permissions"] in ({}, {"contents": "read"}), file.name
        assert "pull_request_target" not in file.read_text("utf-8")
    for name, job in jobs().items():
        assert job.get("permissions", {"contents": "read"}) == {"contents": "read"}, name
        assert "uses" in job or job["timeout-minutes"] <= 90, name


def test_the_token_is_in_one_step_that_waits_for_approval_and_installs_nothing() -> None:
    with_token = [(where, step) for where, step in steps() if "secrets." in str(step)]
    (where, step) = with_token[0]
    assert len(with_token) == 1 and where == "publish.yml: publish" and "install" not in step["run"]
    job = jobs()["publish/publish"]
    assert job["environment"] == "registry" and job["needs"] == "test"
    installs = [str(each["run"]) for each in job["steps"] if "install" in str(each.get("run", ""))]
    assert installs == ["pip install --require-hashes -r .github/requirements.txt"]


def test_what_is_published_is_the_archive_that_was_tested() -> None:
    bare = [str(step.get("run", "")) + str(step.get("with", "")) for step in jobs()["test/bare"]["steps"]]
    order = [
        next(i for i, text in enumerate(bare) if part in text) for part in ("test archive", "dist/prompt")
    ]
    assert order == sorted(order)
    *before, last = jobs()["publish/publish"]["steps"]
    assert any(step.get("with", {}).get("name") == "archive" for step in before)
    assert last["working-directory"] == "${{ runner.temp }}/archive" and "node publish" in last["run"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_no_command_is_put_together_from_what_others_wrote(file: Path) -> None:
    runs = re.findall(r"run: (.*)", file.read_text("utf-8"))
    assert runs and not any("${{" in run for run in runs)
