"""Trajectories: the step of a sampling, and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from inverting import picture_alone, trajectory
from safetensors.torch import load_file, save_file

from p2p_core.errors import P2PError
from p2p_core.real.files import load, save
from p2p_core.real.trajectory import Trajectory

NAMES = ("sigmas", "latents", "picture", "prompt", "text", "model", "method", "schedule", "noise", "nulls")


def test_a_sampling_may_start_at_any_step():
    t = trajectory(4)
    assert [t.start(t.sigmas[i:]) for i in range(4)] == [0, 1, 2, 3]
    assert t.start(t.sigmas[1:3]) == 1  # and continue in another sampler
    assert t.start(t.sigmas * (1 + 1e-6)) == 0


@pytest.mark.parametrize("sigmas", [[10.0, 5.0, 0.0], [9.0, 7.5, 5.0, 2.5, 0.0], [20.0, 10, 7.5, 5, 2.5, 0]])
def test_other_sigmas_are_refused_with_what_to_set(sigmas: list[float]):
    with pytest.raises(P2PError, match=r"trajectory, 4 steps.*Use the sigmas of the inversion"):
        trajectory(4).start(torch.tensor(sigmas))


def test_levels_and_steps():
    t = trajectory(4)  # 10, 7.5, 5, 2.5, 0
    assert [t.level(s) for s in (10.0, 7.5, 7.5001, 7.4, 2.5, 0.0)] == [0, 1, 1, None, 3, 4]
    assert [t.step(s) for s in (10.0, 9.0, 7.5, 7.4, 2.5, 1.0, 0.0)] == [0, 0, 1, 1, 3, 3, 3]


@pytest.mark.parametrize(
    "changes",
    [
        {"latents": torch.zeros(4, 2, 3, 4, 5)},
        {"latents": torch.zeros(5, 2, 3, 4, 6)},
        {"noise": torch.zeros(5, 2, 3, 4, 5)},
        {"nulls": torch.zeros(4, 1, 7, 6)},
        {"nulls": torch.zeros(4, 2, 7)},
        {"prompt": torch.zeros(6)},
        {"prompt": torch.zeros(())},
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes: dict[str, Any]):
    with pytest.raises(P2PError):
        trajectory(4, **changes)


@pytest.mark.parametrize("name", ["latents", "picture", "noise", "nulls", "prompt"])
def test_nan_is_refused(name: str):
    noise, nulls = torch.zeros(4, 2, 3, 4, 5), torch.zeros(4, 2, 7, 6)
    t = trajectory(4, noise=noise, nulls=nulls)
    broken = getattr(t, name).clone()
    broken.view(-1)[-1] = float("nan")
    with pytest.raises(P2PError, match="NaN"):
        trajectory(4, **{"noise": noise, "nulls": nulls, name: broken})


# Files


def same(a: Trajectory, b: Trajectory) -> bool:
    pairs = [(getattr(a, name), getattr(b, name)) for name in NAMES]
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs)


@pytest.mark.parametrize("more", [{}, {"noise": torch.ones(4, 2, 3, 4, 5), "nulls": torch.ones(4, 2, 7, 6)}])
def test_what_is_saved_comes_back(tmp_path: Path, more: dict[str, Any]):
    given = trajectory(4, text="ein Kätzchen\nand a 'cat'", **more)
    save(given, tmp_path / "a.p2p.safetensors")
    assert same(load(tmp_path / "a.p2p.safetensors"), given)
    assert [file.name for file in tmp_path.iterdir()] == ["a.p2p.safetensors"]


def test_a_picture_without_inversion_comes_back(tmp_path: Path):
    given = picture_alone()
    save(given, tmp_path / "a.p2p.safetensors")
    assert same(load(tmp_path / "a.p2p.safetensors"), given) and not given.inverted


def saved(folder: Path) -> Path:
    save(trajectory(4), folder / "a.p2p.safetensors")
    return folder / "a.p2p.safetensors"


@pytest.mark.parametrize("kept", [0, 4, 7, 8, 50, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int):
    file = saved(tmp_path)
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(P2PError, match=r"trajectory in a\.p2p\.safetensors"):
        load(file)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 64,
        b"PK\x03\x04 not this",
        (2**62).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes):
    file = tmp_path / "a.p2p.safetensors"
    file.write_bytes(content)
    with pytest.raises(P2PError, match="trajectory"):
        load(file)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    (tmp_path / "b").mkdir()
    for name in ("none", "b"):
        with pytest.raises(P2PError, match="unreadable file"):
            load(tmp_path / name)


def rewritten(file: Path, texts: dict[str, str], **tensors: Any) -> Path:
    """The file with some tensors replaced (None: removed) and other texts."""
    from safetensors import safe_open

    with safe_open(str(file), "pt") as content:
        texts = {**content.metadata(), **texts}
    content = {**load_file(file), **tensors}
    save_file({k: v for k, v in content.items() if v is not None}, file, texts)
    return file


@pytest.mark.parametrize(
    ("texts", "tensors"),
    [
        ({"format": "pt"}, {}),
        ({}, {"latents": None}),
        ({}, {"surprise": torch.zeros(1)}),
        ({}, {"latents": torch.zeros(3, 2, 3, 4, 5)}),
        ({}, {"latents": torch.zeros(5, 2, 3, 4, 5, dtype=torch.int64)}),
        ({}, {"sigmas": torch.full((5,), float("nan"))}),
        ({}, {"sigmas": torch.zeros(0)}),
    ],
)
def test_a_file_of_other_content_is_refused(tmp_path: Path, texts: dict[str, str], tensors: dict[str, Any]):
    with pytest.raises(P2PError, match="trajectory in"):
        load(rewritten(saved(tmp_path), texts, **tensors))
