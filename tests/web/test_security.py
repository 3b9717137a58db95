"""Every sentence of SECURITY.md has a test, and what it says about code holds for all that ships."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tools.release.archive import files

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SECURITY.md").read_text("utf-8").partition("## What holds")[2]
HERE = "tests/web/test_security.py"
TESTS = {
    "Each sentence": f"{HERE}::test_every_sentence_has_a_test",
    "It runs no code": f"{HERE}::test_nothing_that_ships_runs_code_or_reaches_the_network",
    "It installs no packages": f"{HERE}::test_nothing_that_ships_runs_code_or_reaches_the_network",
    "It makes no network requests": f"{HERE}::test_nothing_that_ships_runs_code_or_reaches_the_network",
    "Nothing is downloaded": f"{HERE}::test_nothing_that_ships_runs_code_or_reaches_the_network",
    "It adds no routes": f"{HERE}::test_nothing_that_ships_runs_code_or_reaches_the_network",
    "Trajectory files": "tests/host/test_trajectory_files.py::test_a_file_in_the_input_folder",
    "A name that leads": "tests/host/test_trajectory_files.py::test_nothing_is_read_outside_the_folders",
    "A file that is not": "tests/core/test_trajectory.py::test_a_header_that_lies_is_refused",
    "A file that is shortened": "tests/core/test_trajectory.py::"
    "test_a_file_that_is_shortened_or_overwritten_in_use_changes_nothing",
    "A killed save": "tests/host/test_fuzz_inputs.py::test_hostile_inputs",
    "No save overwrites": "tests/core/test_trajectory.py::test_a_taken_name_is_not_overwritten",
    "A text field": "tests/core/test_growth.py::test_a_parser_is_linear",
    "Results that": "tests/core/test_memory.py::test_maps_of_many_words_are_refused_before_the_first_call",
    "No image": "tests/host/test_fuzz_inputs.py::test_hostile_inputs",
    "Prompts, words": f"{HERE}::test_the_browser_gets_no_markup",
    "It modifies nothing": f"{HERE}::test_nothing_that_ships_assigns_to_another_module",
    "The MODEL that": "tests/host/test_untouched.py",
    "Development tools": "tests/web/test_supply.py::test_the_tools_are_installed_by_their_hashes",
    "The release workflow": "tests/web/test_supply.py::test_what_is_published_is_the_archive_that_was_tested",
}
FORBIDDEN = {
    "pickle",
    "subprocess",
    "socket",
    "urllib",
    "http",
    "requests",
    "aiohttp",
    "server",
    "ctypes",
    "pip",
}
PYTHON = [file for file in files() if file.suffix == ".py"]


def test_every_sentence_has_a_test() -> None:
    sentences = re.findall(r"[A-Z][^.:]*[.:]", " ".join(TEXT.replace("- ", "").replace("/", "").split()))
    unknown = [each for each in sentences if not any(each.startswith(start) for start in TESTS)]
    assert len(sentences) >= len(TESTS) and unknown == []


@pytest.mark.parametrize("start", TESTS)
def test_the_test_of_a_sentence_is_there(start: str) -> None:
    file, _, name = TESTS[start].partition("::")
    assert start in " ".join(TEXT.split()) and f"def {name}" in (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize("file", PYTHON, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_nothing_that_ships_runs_code_or_reaches_the_network(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [n.name for n in node.names]
            local = isinstance(node, ast.ImportFrom) and node.level
            assert local or not {name.split(".")[0] for name in names} & FORBIDDEN, ast.unparse(node)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "compile", "__import__", "torch.load", "os.system"), called


@pytest.mark.parametrize("file", PYTHON, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_nothing_that_ships_assigns_to_another_module(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    modules = {
        (name.asname or name.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    }
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            owner = ast.unparse(target).split(".")[0] if isinstance(target, ast.Attribute) else ""
            assert owner not in modules, ast.unparse(node)


def test_the_browser_gets_no_markup() -> None:
    for script in ROOT.glob("web/js/**/*.js"):
        text = script.read_text("utf-8")
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text
        )
        assert found == [], script.name
