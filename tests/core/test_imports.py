"""Allowed imports: the table of the repository's wings, and what really gets imported with the core.

The table lists the wings from the bottom up. A wing is a folder or one file. It may import its own files, the
wings and packages in its row, and the standard library. A row names only wings above it in the table, so
imports form no circle.

In a row, `words` is a wing of the same top folder, and `p2p_core/*` is every wing of p2p_core above it. HOST
is ComfyUI, DEV is everything that requirements-dev.txt installs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from imports import Repository, arrows_up, read_table

ROOT = Path(__file__).resolve().parents[2]
TABLE = """
wing                     | packages               | may import of ours

p2p_core/errors          |                        |
p2p_core/limits          |                        | errors
p2p_core/words           |                        | errors
p2p_core/architecture    | torch                  | errors words
p2p_core/rows            | torch einops           | errors words
p2p_core/attention       | torch einops           | errors architecture rows
p2p_core/step            | torch                  | errors words architecture rows attention
p2p_core/edits           | torch                  | errors limits words architecture rows attention step
p2p_core/maps            | torch einops           | errors limits words architecture rows attention step
p2p_core/real            | torch einops           | errors limits words rows step
p2p_core/memory          | torch                  | errors words architecture step
p2p_core/plan            | torch                  | p2p_core/*
p2p_core/run             | torch                  | p2p_core/*
p2p_core/maps/components | torch einops numpy     | errors rows maps
p2p_core/pictures        | torch einops numpy PIL | errors limits words architecture rows maps maps/components
p2p_core/__init__        |                        | p2p_core/*

demo/world               | numpy PIL              |
demo/things              | DEV                    |
demo/model               | torch                  |
nodes/comfyui            | HOST torch safetensors | p2p_core/* demo/model
nodes/shared             | HOST torch einops      | p2p_core/* comfyui
nodes/edit               | HOST torch             | p2p_core/* comfyui shared
nodes/view               | HOST torch             | p2p_core/* comfyui shared
nodes/real               | HOST torch             | p2p_core/* comfyui shared
nodes/demo               | HOST torch numpy       | p2p_core/* comfyui shared demo/model demo/world
nodes/extension          | HOST                   | edit view real demo
__init__                 | HOST                   | nodes/extension

tools/comfyui            |                        | p2p_core/errors
tools/workflows          |                        | comfyui
tools/release            |                        |
tools/pictures           | PIL                    | p2p_core/errors p2p_core/words comfyui workflows
demo/diffusers_host      | DEV                    | p2p_core/* model
demo/training            | DEV                    | p2p_core/errors world things model diffusers_host
demo/show                | DEV                    | p2p_core/* world model diffusers_host tools/*

tests/conftest           |                        |
tests/standin            | HOST torch             |
tests/harness            | HOST DEV sentencepiece |
benchmarks/shared        | DEV                    | p2p_core/errors
benchmarks/core          | DEV                    | p2p_core/* shared
benchmarks/reference     | DEV                    | demo/diffusers_host
benchmarks/quality       | DEV                    | p2p_core/* demo/* shared reference
benchmarks/host          | HOST DEV               | tools/comfyui tests/harness p2p_core/* shared
benchmarks/real          | HOST DEV               | p2p_core/* demo/* shared quality host
tests/golden             | HOST DEV               | p2p_core/* demo/* tools/* harness
tests/core               | DEV                    | p2p_core/* benchmarks/core benchmarks/shared
tests/demo               | DEV                    | p2p_core/* demo/* tools/* benchmarks/* golden
tests/parity             | DEV                    | p2p_core/* demo/* benchmarks/reference
tests/web                | DEV                    | p2p_core/* demo/show tools/*
tests/host               | HOST DEV               | demo/* tools/* benchmarks/* harness golden
"""
HOST = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "comfyui_version", "folder_paths"}
HOST |= {"latent_preview", "node_helpers", "nodes", "server"}
DEV = {"torch", "numpy", "PIL", "einops", "safetensors", "diffusers", "transformers", "tqdm"}
DEV |= {"pytest", "hypothesis", "yaml"}
ROWS = read_table(TABLE, {"HOST": HOST, "DEV": DEV})
FOREIGN = frozenset(HOST)  # `import nodes` is ComfyUI's nodes.py

# ComfyUI chooses the name that it imports the pack under, so code that runs there uses relative imports.
RELATIVE_ONLY = ("__init__", "p2p_core", "nodes", "demo/world", "demo/model")
BY_NAME = ("tests", "tests/harness", "tests/host", "tests/host/dit")


def repository(root: Path) -> Repository:
    return Repository(root, FOREIGN, BY_NAME)


def test_no_row_of_the_table_points_up() -> None:
    assert arrows_up(ROWS) == []


def test_every_import_is_in_the_table() -> None:
    assert repository(ROOT).violations(ROWS, RELATIVE_ONLY) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert repository(ROOT).circles() == []


# Each check can fail


def planted(root: Path, files: dict[str, str]) -> Repository:
    """A repository with these files and this table."""
    there = ("p2p_core/errors", "p2p_core/words/prompts", "p2p_core/run", "nodes/shared/types")
    there += ("demo/world/scenes", "demo/training/train", "nodes/edit/__init__", "tests/harness/graphs")
    there += ("tests/core/imports",)
    for name, text in ({f"{name}.py": "" for name in there} | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return repository(root)


NOT_IN_ROW, PACKAGE = "is not in its row", "a package that its row does not name"
NO_FILE, NO_ROW = "which is no file of the repository", "from a file that has no row"
VIOLATIONS = [
    # file, its text, what is reported: line, import, reason
    ("p2p_core/words/a.py", "from ..run import Run", f"1 ..run, p2p_core/run {NOT_IN_ROW}"),
    ("p2p_core/errors.py", "from . import run", f"1 .run, p2p_core/run {NOT_IN_ROW}"),
    (
        "nodes/demo/a.py",
        "from ...demo.training.train import x",
        f"1 ...demo.training.train, demo/training {NOT_IN_ROW}",
    ),
    ("demo/show/a.py", "from ...nodes import edit", f"1 ...nodes, nodes/edit {NOT_IN_ROW}"),
    ("demo/world/a.py", "from ...p2p_core import errors", f"1 ...p2p_core, p2p_core/errors {NOT_IN_ROW}"),
    ("benchmarks/host/a.py", "from tests.core import imports", f"1 tests.core, tests/core {NOT_IN_ROW}"),
    ("p2p_core/run.py", "from p2p_core import errors", "1 p2p_core, not relative"),
    ("nodes/demo/a.py", "import demo.world.scenes", "1 demo.world.scenes, not relative"),
    ("p2p_core/real/a.py", "import comfy.samplers", f"1 comfy.samplers, {PACKAGE}"),
    ("p2p_core/run.py", "try:\n    import server\nexcept ImportError: ...", f"2 server, {PACKAGE}"),
    ("p2p_core/maps/a.py", "def f():\n    import diffusers", f"2 diffusers, {PACKAGE}"),
    ("p2p_core/plan.py", "if TYPE_CHECKING:\n    from nodes import KSampler", f"2 nodes, {PACKAGE}"),
    ("p2p_core/words/a.py", "from torch.nn import Module", f"1 torch.nn, {PACKAGE}"),
    ("p2p_core/maps/store.py", "import json, numpy", f"1 numpy, {PACKAGE}"),
    ("p2p_core/run.py", "from ...p2p_core import errors", f"1 ...p2p_core, {NO_FILE}"),
    ("p2p_core/run.py", "from .walk import Walk", f"1 .walk, {NO_FILE}"),
    ("p2p_core/walk.py", "import json", f"1 json, {NO_ROW}"),
    ("tools/new/a.py", "import json", f"1 json, {NO_ROW}"),
]


@pytest.mark.parametrize(("file", "text", "reported"), VIOLATIONS)
def test_a_violation_is_found(tmp_path: Path, file: str, text: str, reported: str) -> None:
    assert planted(tmp_path, {file: text}).violations(ROWS, RELATIVE_ONLY) == [f"{file}:{reported}"]


ALLOWED = {
    "p2p_core/run.py": "import json\nfrom .errors import P2PError\nfrom .words.prompts import Prompt",
    "p2p_core/words/a.py": "from . import prompts\nfrom .. import errors",
    "nodes/edit/a.py": "import nodes, comfy.samplers\nfrom ..shared.types import CATEGORY",
    "nodes/demo/a.py": "from ...demo.world import scenes",
    "demo/training/a.py": "import torch\nfrom ..world.scenes import Scene\nfrom p2p_core import errors",
    "tests/host/a.py": "from graphs import Graph\nimport pytest",
}


def test_what_the_table_names_is_allowed(tmp_path: Path) -> None:
    assert planted(tmp_path, ALLOWED).violations(ROWS, RELATIVE_ONLY) == []


def test_a_row_that_points_up_is_found() -> None:
    rows = read_table("wing | packages | ours\na/x | | y\na/y | | x z\na/z | | a/*", {})
    assert arrows_up(rows) == ["a/x → a/y", "a/y → a/z"]


def test_a_circle_of_files_is_found(tmp_path: Path) -> None:
    files = {"p2p_core/maps/a.py": "from . import b", "p2p_core/maps/b.py": "def f():\n    from .a import x"}
    assert planted(tmp_path, files).circles() != []


# What really gets imported

# Prints each host that is requested when every module of a package is imported, whether or not it exists.
WATCH = """
import importlib, pkgutil, sys

root, package, *hosts = sys.argv[1:]
asked = set()

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hosts:
            asked.add(name.partition(".")[0])

sys.meta_path.insert(0, Watch())
sys.path.append(root)
top = importlib.import_module(package)
for module in pkgutil.walk_packages(top.__path__, package + "."):
    importlib.import_module(module.name)
print(*sorted(asked))
"""


def reached(root: Path, package: str, folder: Path) -> list[str]:
    """folder: working directory of the process. It comes first on the path, so it must be empty."""
    hosts = sorted(HOST | {"diffusers", "transformers", "demo"})
    command = [sys.executable, "-c", WATCH, str(root), package, *hosts]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_importing_the_core_reaches_no_host(tmp_path: Path) -> None:
    assert reached(ROOT, "p2p_core", tmp_path) == []


LEAKS = {
    "plain": ({"deep/__init__.py": "import comfy"}, ["comfy"]),
    "guarded": ({"a.py": "try:\n    import folder_paths\nexcept ImportError:\n    pass"}, ["folder_paths"]),
    "by name": ({"a.py": "from importlib import import_module as i\ni('comfy.samplers')"}, ["comfy"]),
    "through another module": ({"a.py": "from . import b", "b.py": "import nodes, json"}, ["nodes"]),
    "none": ({"a.py": "from . import b", "b.py": "import json"}, []),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_host_that_is_reached_is_seen(tmp_path: Path, leak: str) -> None:
    files, expected = LEAKS[leak]
    hosts = {"comfy/__init__.py": "", "comfy/samplers.py": "", "nodes.py": ""}  # folder_paths is missing
    package = {f"package/{name}": text for name, text in ({"__init__.py": ""} | files).items()}
    for name, text in (hosts | package).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert reached(tmp_path, "package", empty) == expected
