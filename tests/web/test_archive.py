"""The registry's archive: everything that the nodes need, no development files, and not too large."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import tomllib
from PIL import Image

from tools.release.archive import files

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
MOST = 30_000_000  # bytes


def imported(file: Path) -> set[Path]:
    """The relative imports of a file, as paths without suffix: modules, and names that may be modules."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = file.parents[node.level - 1]
            module = base.joinpath(*node.module.split(".")) if node.module else base
            found |= {module, *(module / name.name for name in node.names)}
    return found


def test_the_archive_is_small_enough() -> None:
    assert sum(file.stat().st_size for file in files()) < MOST


def test_the_archive_has_no_tests_and_no_tools() -> None:
    tops = {file.relative_to(ROOT).parts[0] for file in files()}
    assert not tops & {"tests", "benchmarks", "docs", ".ci", ".github", "Makefile"}
    assert {"__init__.py", "nodes", "p2p_core", "web", "locales", "LICENSE", "README.md"} <= tops


def test_the_archive_has_the_workflows_once_and_no_links() -> None:
    """For a link to a folder, the archive would contain an empty folder."""
    shown = {file for kind in ("json", "jpg") for file in ROOT.glob(f"example_workflows/*.{kind}")}
    assert shown and set(files()) >= shown
    assert [file for file in files() if file.is_symlink()] == []


def test_every_module_that_the_nodes_import_is_in_it() -> None:
    shipped = set(files())
    todo, seen = [ROOT / "__init__.py"], set[Path]()
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        for module in imported(file):
            there = [f for f in (module.with_suffix(".py"), module / "__init__.py") if f.exists()]
            assert shipped >= set(there), f"{file} imports {module}, which is not shipped"
            todo += there
    assert len(seen) > 30


def test_the_version_is_told_in_the_changelog_and_fits_the_registry() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", PROJECT["project"]["version"])
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    version = PROJECT["project"]["version"]
    assert f"## [{version}]" in changelog or f"To be {version}." in changelog


def test_icon_and_banner_have_the_shapes_the_registry_asks_for() -> None:
    comfy = PROJECT["tool"]["comfy"]
    names = [str(comfy[key]).rpartition("/main/")[2] for key in ("Icon", "Banner")]
    icon, banner = (Image.open(ROOT / name).size for name in names)
    assert icon[0] == icon[1] <= 400 and banner[0] * 9 == banner[1] * 21
