"""The pack as ComfyUI loads it: by path, from a folder that is no valid module name, never on sys.path."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("p2p_core", "nodes", "demo", "web", "__init__.py", "pyproject.toml")
OWN = ("p2p_core", "demo")


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the shipped files in a hyphenated folder; the pack itself can no longer be imported."""
    folder = tmp_path / "prompt-to-prompt.v1"
    folder.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "checkpoints", "out", "*.safetensors")
    for place in (ROOT / name for name in SHIPPED):
        if place.is_dir():
            shutil.copytree(place, folder / place.name, ignore=ignore)
        elif place.is_file():
            shutil.copy(place, folder)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if Path(entry).resolve() != ROOT])
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        monkeypatch.delitem(sys.modules, name)
    yield folder
    for name in [name for name in sys.modules if name.startswith(module_name(folder))]:
        del sys.modules[name]


def module_name(folder: Path) -> str:
    """ComfyUI's module name for a pack: its path, with the dots replaced."""
    return str(folder).replace(".", "_x_")


def load(folder: Path) -> ModuleType:
    """Like ComfyUI's load_custom_node."""
    name = module_name(folder)
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def node_list(module: ModuleType) -> list[Any]:
    async def ask() -> list[Any]:
        extension = module.comfy_entrypoint()
        extension = await extension if asyncio.iscoroutine(extension) else extension
        return await extension.get_node_list()

    return asyncio.run(ask())


@pytest.mark.host
def test_the_pack_loads_by_path(copied: Path) -> None:
    module = load(copied)
    assert not hasattr(module, "NODE_CLASS_MAPPINGS"), "ComfyUI would never look at comfy_entrypoint"
    ids = [node.GET_SCHEMA().node_id for node in node_list(module)]
    assert ids and len(set(ids)) == len(ids)
    assert all(name.startswith("P2P") for name in ids)


@pytest.mark.host
def test_every_shipped_module_of_the_method_loads(copied: Path) -> None:
    name = load(copied).__name__
    for file in sorted((copied / "p2p_core").rglob("*.py")):
        module = ".".join(file.relative_to(copied).with_suffix("").parts).removesuffix(".__init__")
        importlib.import_module(f"{name}.{module}")
    importlib.import_module(f"{name}.demo.model.shape")


@pytest.mark.host
def test_loading_leaves_no_trace(copied: Path) -> None:
    path, files = list(sys.path), sorted(copied.rglob("*.py"))
    module = load(copied)
    node_list(module)
    assert sys.path == path
    assert sorted(copied.rglob("*.py")) == files
    assert not [name for name in sys.modules if name.partition(".")[0] in OWN]


@pytest.mark.host
def test_the_web_folder_it_names_is_there(copied: Path) -> None:
    named = getattr(load(copied), "WEB_DIRECTORY", None)
    assert named is None or (copied / named).is_dir()


def test_an_absolute_import_of_the_pack_would_fail(copied: Path) -> None:
    """Proves that the tests above can fail: the pack is really not importable by name."""
    (copied / "__init__.py").write_text("from p2p_core import errors\n")
    with pytest.raises(ModuleNotFoundError, match="p2p_core"):
        load(copied)
