"""The core knows no host: what its files import, and what really gets imported with them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {"torch", "einops", "numpy", "PIL"}
HOSTS = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "folder_paths", "nodes", "server"}
HOSTS |= {"latent_preview", "node_helpers", "diffusers", "transformers", "demo"}

# Prints each host that importing every module of a package asks for, whether or not it is there.
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


def reached(root: Path, package: str) -> list[str]:
    command = [sys.executable, "-c", WATCH, str(root), package, *HOSTS]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def foreign(folder: Path) -> Iterator[str]:
    """Each import in the files of a package that leaves it for something not allowed, as file:line name."""
    for file in sorted(folder.rglob("*.py")):
        depth = len(file.relative_to(folder).parts)  # how many dots stay inside the package
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not 0 < node.level <= depth:
                names = ["." * node.level + (node.module or "")]
            else:
                continue
            for name in names:
                if name.partition(".")[0] not in ALLOWED | sys.stdlib_module_names:
                    yield f"{file.name}:{node.lineno} {name}"


def test_importing_the_core_reaches_no_host() -> None:
    assert reached(ROOT, "p2p_core") == []


def test_the_files_of_the_core_import_only_what_is_allowed() -> None:
    assert list(foreign(ROOT / "p2p_core")) == []


LEAKS = {
    "plain": ({"deep/__init__.py": "import comfy"}, ["comfy"]),
    "guarded": ({"a.py": "try:\n    import folder_paths\nexcept ImportError:\n    pass"}, ["folder_paths"]),
    "from a part": ({"a.py": "from comfy.samplers import KSampler"}, ["comfy"]),
    "through another module": ({"a.py": "from . import b", "b.py": "import nodes, json"}, ["nodes"]),
    "none": ({"a.py": "from . import b", "b.py": "import json"}, []),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_both_checks_can_fail(tmp_path: Path, leak: str) -> None:
    files, expected = LEAKS[leak]
    package = tmp_path / "package"
    for name, text in ({"__init__.py": ""} | files).items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    for name in ("comfy/__init__.py", "nodes.py"):  # folder_paths is missing, and is asked for all the same
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "comfy" / "samplers.py").write_text("KSampler = object")

    assert reached(tmp_path, "package") == expected
    assert [line.split()[1].partition(".")[0] for line in foreign(package)] == expected


def test_the_file_check_sees_imports_in_functions_and_out_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.py").write_text(
        "from ..nodes import x\nfrom .sub import b\ndef f():\n    import diffusers"
    )
    (tmp_path / "sub" / "b.py").write_text("from ..a import f\nfrom ... import demo\nimport torch.nn, re")
    assert sorted(foreign(tmp_path)) == ["a.py:1 ..nodes", "a.py:4 diffusers", "b.py:2 ..."]
