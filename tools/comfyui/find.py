"""Finds ComfyUI on this machine and the interpreter that runs it. Reads folders and text, runs nothing."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from p2p_core.errors import P2PError


@dataclass(frozen=True)
class ComfyInstall:
    """One ComfyUI: its folder, its interpreter, its version ("unknown" if it does not name one)."""

    path: Path
    python: Path
    version: str

    def __str__(self) -> str:
        return f"ComfyUI {self.version} ({self.path})"


def find_comfy(environ: Mapping[str, str], pack_root: Path) -> tuple[ComfyInstall, ...]:
    """At most two installs: the user's, and a second version.

    The first is $COMFYUI_PATH, else the ComfyUI whose custom_nodes holds the pack, ~/comfy/ComfyUI or
    ~/ComfyUI; the second is $COMFYUI_PATH_NEW, else ~/comfy/ComfyUI-new.
    """
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    usual = [*_around(environ, pack_root), home / "comfy" / "ComfyUI", home / "ComfyUI"]
    found = (
        _given(environ, "COMFYUI_PATH") or _first(usual),
        _given(environ, "COMFYUI_PATH_NEW") or _first([home / "comfy" / "ComfyUI-new"]),
    )
    different = {path.resolve(): path for path in found if path}
    return tuple(ComfyInstall(path, _python(environ, path), _version(path)) for path in different.values())


def is_comfy(path: Path) -> bool:
    return (path / "main.py").is_file() and (path / "nodes.py").is_file() and (path / "comfy").is_dir()


def _given(environ: Mapping[str, str], name: str) -> Path | None:
    """The folder that a variable names. An empty variable counts as unset. P2PError for a wrong folder."""
    if not environ.get(name):
        return None
    path = Path(environ[name]).expanduser().absolute()
    if not is_comfy(path):
        raise P2PError(
            f"${name} to be ComfyUI's folder, the one with main.py, nodes.py and comfy/",
            f"{path}" + ("" if path.is_dir() else ", which is not a folder"),
            f"Correct {name}, or unset it to search the usual places.",
        )
    return path


def _around(environ: Mapping[str, str], pack_root: Path) -> list[Path]:
    """The folder two above the pack if the pack is in a custom_nodes folder, directly or through a link."""
    seen_as = [pack_root.absolute(), pack_root.resolve()]
    shell = Path(environ.get("PWD", "/"))  # keeps the names of links in the path
    if shell.resolve() == pack_root.resolve():
        seen_as.insert(0, shell)
    return [place.parent.parent for place in seen_as if place.parent.name == "custom_nodes"]


def _first(places: Iterable[Path]) -> Path | None:
    return next((place for place in places if is_comfy(place)), None)


def _python(environ: Mapping[str, str], comfy: Path) -> Path:
    """$COMFYUI_PYTHON, else the environment inside the folder, else the Python of the user's shell."""
    if named := environ.get("COMFYUI_PYTHON"):
        program = shutil.which(named, path=environ.get("PATH"))
        if program is None:
            raise P2PError(
                "$COMFYUI_PYTHON to be the interpreter ComfyUI runs under",
                f"{named}, which cannot be run",
                "Correct COMFYUI_PYTHON, or unset it to use the environment in ComfyUI's folder.",
            )
        return Path(program).absolute()
    programs = ("bin/python", "Scripts/python.exe")
    inside = [comfy / venv / name for venv in ("venv", ".venv") for name in programs]
    shell = shutil.which("python3", path=environ.get("PATH")) or sys.executable
    return next((python for python in inside if python.is_file()), Path(shell))


def _version(comfy: Path) -> str:
    file = comfy / "comfyui_version.py"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    match = re.search(r"""^__version__\s*=\s*["']([^"']+)["']""", text, re.MULTILINE)
    return match[1] if match else "unknown"
