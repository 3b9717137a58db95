"""Save and Load Trajectory: a long inversion runs only once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ...p2p_core.errors import P2PError
from ...p2p_core.real.files import SUFFIX, load, save, saving
from ..comfyui.advice import naming
from ..shared.types import REAL, TrajectorySocket, found_by

OUTPUT, INPUT = " [output]", " [input]"  # after a file name
LONGEST = 200  # characters of a prefix, with its folders


class P2PSaveTrajectory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PSaveTrajectory",
            display_name="P2P Save Trajectory",
            category=REAL,
            **found_by("inversion", "save latent"),
            description="Saves an inverted image to a file in ComfyUI's output folder, for Load "
            "Trajectory. The file contains the source prompt as text.",
            inputs=[
                TrajectorySocket.Input("trajectory", tooltip="From Invert or Null Text."),
                io.String.Input("filename_prefix", default="p2p/trajectory",
                    tooltip="Start of the file name, with folders inside the output folder. A number is "
                        "appended."),
            ],
            outputs=[
                io.String.Output(display_name="file", tooltip="The file name, for Load Trajectory."),
            ],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(cls, trajectory: Any, filename_prefix: str) -> io.NodeOutput:
        with naming("Save Trajectory"):
            name = save_as(trajectory, filename_prefix) + OUTPUT
            return io.NodeOutput(name, ui={"text": [name]})


class P2PLoadTrajectory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PLoadTrajectory",
            display_name="P2P Load Trajectory",
            category=REAL,
            **found_by("inversion", "load latent"),
            description="Loads an inverted image from a file of Save Trajectory.",
            inputs=[
                io.String.Input("file", default="p2p/trajectory_00001_.p2p.safetensors [output]",
                    tooltip="The file name with folders, as Save Trajectory shows it: inside ComfyUI's "
                    "output folder or, if it ends in [input], the input folder."),
            ],
            outputs=[TrajectorySocket.Output(display_name="trajectory", tooltip="For Real Image or Null "
                "Text.")],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, file: str | None) -> Any:
        """The file's state, so that an overwritten file is read again. None: a linked name, unknown yet."""
        if file is None:
            return None
        try:
            state = file_of(file).stat()
        except (P2PError, OSError):
            return file
        return file, state.st_mtime_ns, state.st_size

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        with naming("Load Trajectory"):
            return io.NodeOutput(load(file_of(file)))


def save_as(trajectory: Any, prefix: str) -> str:
    """Writes a numbered file and returns its name in the output folder. P2PError for a place outside it."""
    _require_prefix(prefix)
    folder = _folder(OUTPUT)
    _inside(folder, prefix)
    with saving(prefix):
        place, start, number, *_ = folder_paths.get_save_image_path(prefix, str(folder))
    while True:
        file = Path(place).resolve() / f"{start}_{number:05}_{SUFFIX}"
        name = file.relative_to(folder).as_posix()
        if place_of(f"{name}{OUTPUT}") != file:
            raise P2PError("a file name that Load Trajectory can read", repr(name), "Use letters and digits.")
        if save(trajectory, file):
            return name
        number += 1


def _require_prefix(prefix: str) -> None:
    if len(prefix) > LONGEST or not prefix.isprintable():
        expected = f"a file name of at most {LONGEST} printable characters"
        raise P2PError(expected, repr(prefix), "Use letters, digits and slashes.")
    if any(part != part.strip() for part in prefix.split("/")):
        raise P2PError("names without spaces at their ends", repr(prefix), "Remove these spaces.")


def file_of(name: str) -> Path:
    """The file of a name such as `p2p/a.p2p.safetensors [output]`. P2PError for one outside the folders."""
    file = place_of(name)
    try:
        found = file.is_file()
    except OSError:  # a name that no file can have
        found = False
    if not found:
        raise P2PError(
            f"an existing file, {name.strip()!r}",
            "a name without a file",
            "Copy the name from Save Trajectory.",
        )
    return file


def place_of(name: str) -> Path:
    """The path of a name, whether or not the file exists. P2PError for one outside the folders."""
    plain = name.strip()
    where = next((folder for folder in (OUTPUT, INPUT) if plain.endswith(folder)), "")
    plain = plain.removesuffix(where)
    if not plain.endswith(SUFFIX):
        raise P2PError(
            f"a name ending in {SUFFIX}, then [output] or [input]",
            repr(name),
            "Copy it from Save Trajectory.",
        )
    return _inside(_folder(where), plain)


def _folder(where: str) -> Path:
    own = folder_paths.get_input_directory() if where == INPUT else folder_paths.get_output_directory()
    return Path(own).resolve()


def _inside(folder: Path, name: str) -> Path:
    """The path of a name in a folder, checked after following links."""
    try:
        place = (folder / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # links in a circle, before Python 3.13
        raise P2PError("a file name", repr(name), "Use letters, digits and slashes.") from error
    if not name or place == folder or not place.is_relative_to(folder):
        raise P2PError(f"a name inside {folder.name}", repr(name), "Remove the leading / and every ..")
    return place


NODES = [P2PSaveTrajectory, P2PLoadTrajectory]
