"""Trajectory files: what survives a round trip, and what is neither written nor read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from graphs import Graph
from pictures import Gallery

# Known attempts to leave the folders of ComfyUI's Load and Save nodes.
OUTSIDE = ["../a", "a/../../b", "/tmp/a", "..", "x/../..", "C:/../../a", "\x00", ""]

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]


# Files


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """ComfyUI's output and input folders, redirected to a temporary folder."""
    import folder_paths

    own = folder_paths.get_output_directory(), folder_paths.get_input_directory()
    for name in ("output", "input"):
        (tmp_path / name).mkdir()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    folder_paths.set_input_directory(str(tmp_path / "input"))
    yield tmp_path
    folder_paths.set_output_directory(own[0])
    folder_paths.set_input_directory(own[1])


def save(graph: Graph, trajectory: Any, prefix: str = "p2p/trajectory") -> str:
    node = graph.node["P2PSaveTrajectory"]
    return graph.host.run(node, trajectory=trajectory, filename_prefix=prefix)[0]


def load(graph: Graph, file: str) -> Any:
    return graph.host.run(graph.node["P2PLoadTrajectory"], file=file)[0]


def test_a_saved_trajectory_edits_as_the_one_it_was(gallery: Gallery, graph: Graph, folders: Path):
    trajectory = gallery.inverted()
    names = [save(graph, trajectory) for _ in range(2)]
    assert names == [f"p2p/trajectory_0000{i}_.p2p.safetensors [output]" for i in (1, 2)]
    assert torch.equal(gallery.edited(load(graph, names[1])), gallery.edited(trajectory))


def test_a_file_in_the_input_folder(gallery: Gallery, graph: Graph, folders: Path):
    name = save(graph, gallery.inverted(), "mine").removesuffix(" [output]")
    (folders / "output" / name).rename(folders / "input" / name)
    assert torch.equal(load(graph, f"{name} [input]").latents, gallery.inverted().latents)


@pytest.mark.parametrize("prefix", OUTSIDE)
def test_nothing_is_written_outside_the_folder(
    gallery: Gallery, graph: Graph, folders: Path, error: Any, prefix: str
):
    before = sorted(folders.rglob("*"))
    with pytest.raises(error, match="Save Trajectory"):
        save(graph, gallery.inverted(), prefix)
    assert sorted(folders.rglob("*")) == before


@pytest.mark.parametrize("name", [*(f"{name}.p2p.safetensors" for name in OUTSIDE), "a.safetensors", ""])
@pytest.mark.parametrize("where", ["", " [output]", " [input]", " [temp]"])
def test_nothing_is_read_outside_the_folders(
    gallery: Gallery, graph: Graph, folders: Path, error: Any, name: str, where: str
):
    (folders / "a.p2p.safetensors").write_bytes(b"")
    with pytest.raises(error, match="Load Trajectory"):
        load(graph, name + where)


def test_a_link_out_of_the_folder_is_not_followed(gallery: Gallery, graph: Graph, folders: Path, error: Any):
    name = save(graph, gallery.inverted(), "a").removesuffix(" [output]")
    (folders / "output" / name).rename(folders / name)
    (folders / "output" / name).symlink_to(folders / name)
    with pytest.raises(error, match="a name inside output"):
        load(graph, name)


def test_a_damaged_file_is_refused(gallery: Gallery, graph: Graph, folders: Path, error: Any):
    name = save(graph, gallery.inverted())
    file = folders / "output" / name.removesuffix(" [output]")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(error, match="Load Trajectory: expected a trajectory"):
        load(graph, name)


def test_a_file_written_anew_is_read_anew(gallery: Gallery, graph: Graph, folders: Path):
    look = graph.node["P2PLoadTrajectory"].fingerprint_inputs
    name = save(graph, gallery.inverted())
    before = look(file=name)
    assert look(file=name) == before and look(file="none") == "none" and look(file=None) is None
    (folders / "output" / name.removesuffix(" [output]")).touch()
    assert look(file=name) != before


# Names


ODD = [
    "p2p/my cat [final]",
    "x [temp]",
    "a [output]",
    "a.b.p2p.safetensors",
    "ночь/猫",
    "a/../b",
    "%year%",
    "-",
    ".",
]


@pytest.mark.parametrize("prefix", ODD)
def test_a_name_that_was_saved_can_be_loaded(
    gallery: Gallery, graph: Graph, folders: Path, error: Any, prefix: str
):
    try:
        name = save(graph, gallery.inverted(), prefix)
    except error:
        assert not [file for file in folders.rglob("*") if file.is_file()]
    else:
        assert torch.equal(load(graph, name).latents, gallery.inverted().latents)


@pytest.mark.parametrize(
    "prefix", [" ", " lead/x", "a / b", "end ", "two\nlines", "\ud800", "a" * 201, "x/" * 1500]
)
def test_a_name_that_no_load_would_find_is_not_written(
    gallery: Gallery, graph: Graph, folders: Path, error: Any, prefix: str
):
    with pytest.raises(error, match="Save Trajectory"):
        save(graph, gallery.inverted(), prefix)
    assert not [file for file in folders.rglob("*") if file.is_file()]


def in_a_file(output: Path) -> str:
    (output / "file").write_bytes(b"")
    return "file/a"


def in_a_circle(output: Path) -> str:
    (output / "circle").symlink_to(output / "circle")
    return "circle/a"


def too_long(output: Path) -> str:
    return "猫" * 100


@pytest.mark.parametrize("place", [in_a_file, in_a_circle, too_long])
def test_a_place_where_nothing_can_be_saved_is_named_in_words(
    gallery: Gallery, graph: Graph, folders: Path, error: Any, place: Any
):
    prefix = place(folders / "output")
    with pytest.raises(error, match=r"Save Trajectory: expected .*, got .*\. "):
        save(graph, gallery.inverted(), prefix)
    with pytest.raises(error, match=r"Load Trajectory: expected .*, got .*\. "):
        load(graph, f"{prefix}_00001_.p2p.safetensors [output]")


def test_two_servers_with_one_output_folder_keep_both_files(
    gallery: Gallery, graph: Graph, folders: Path, monkeypatch: pytest.MonkeyPatch
):
    """Both are given the same number by the host."""
    import folder_paths

    first = save(graph, gallery.inverted())
    place = str(folders / "output" / "p2p"), "trajectory", 1, "p2p", "p2p/trajectory"
    monkeypatch.setattr(folder_paths, "get_save_image_path", lambda *given: place)
    second = save(graph, gallery.inverted())
    assert first != second
    assert torch.equal(load(graph, first).latents, load(graph, second).latents)
