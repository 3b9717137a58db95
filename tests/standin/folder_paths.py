"""Folders of files."""

import tempfile
from pathlib import Path

_folders = {}


def get_output_directory():
    return _folders.setdefault("output", tempfile.mkdtemp())


def get_input_directory():
    return _folders.setdefault("input", tempfile.mkdtemp())


def set_output_directory(place):
    _folders["output"] = place


def set_input_directory(place):
    _folders["input"] = place


def get_save_image_path(prefix, folder):
    """The folder, the start of the file name and an unused number."""
    place, name = (Path(folder) / prefix).parent, Path(prefix).name
    place.mkdir(parents=True, exist_ok=True)
    taken = [int(file.name[len(name) + 1 :].split("_")[0]) for file in place.glob(f"{name}_*")]
    return str(place), name, max(taken, default=0) + 1, str(Path(prefix).parent), prefix
