"""Trajectories: the step of a sampling, and files."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from inverting import picture_alone, trajectory
from safetensors.torch import load_file, save_file

from p2p_core.errors import P2PError
from p2p_core.real import files
from p2p_core.real.files import load, save, saving
from p2p_core.real.tensor_file import write
from p2p_core.real.trajectory import Trajectory

ROOT = Path(__file__).resolve().parents[2]
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


BAD_PICTURES = [(), (3,), (3, 4, 5), (0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)]


@pytest.mark.parametrize(
    "changes",
    [
        {"latents": torch.zeros(4, 2, 3, 4, 5)},
        {"latents": torch.zeros(5, 2, 3, 4, 6)},
        {"noise": torch.zeros(5, 2, 3, 4, 5)},
        {"nulls": torch.zeros(4, 1, 7, 6)},
        {"nulls": torch.zeros(4, 2, 7)},
        {"nulls": torch.zeros(4, 2, 0, 6)},
        {"nulls": torch.zeros(4, 2, 7, 5)},
        {"nulls": torch.zeros(3, 2, 7, 6)},
        {"prompt": torch.zeros(6)},
        {"prompt": torch.zeros(())},
        {"prompt": torch.zeros(0, 6)},
        {"prompt": torch.zeros(7, 0)},
        *({"picture": torch.zeros(shape), "latents": torch.zeros(5, *shape)} for shape in BAD_PICTURES),
        {"text": "a" * 10_001},
        {"text": "\ud800"},
        {"model": "m" * 1001},
        {"sigmas": torch.linspace(1, 0, 10_002), "latents": torch.zeros(10_002, 2, 3, 4, 5)},
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes: dict[str, Any]):
    with pytest.raises(P2PError):
        trajectory(4, **changes)


@pytest.mark.parametrize("name", ["latents", "picture", "noise", "nulls", "prompt"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38, -2e6])
def test_values_that_no_sampler_can_use_are_refused(name: str, value: float):
    noise, nulls = torch.zeros(4, 2, 3, 4, 5), torch.zeros(4, 2, 7, 6)
    t = trajectory(4, noise=noise, nulls=nulls)
    broken = getattr(t, name).clone()
    broken.view(-1)[-1] = value
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


def test_a_file_that_is_shortened_or_overwritten_in_use_changes_nothing(tmp_path: Path):
    """In another process, which a memory map would end with SIGBUS."""
    file = tmp_path / "a.p2p.safetensors"
    save(trajectory(40, size=(64, 64)), file)
    script = f"""
from pathlib import Path
from p2p_core.real.files import load
file = Path({str(file)!r})
for change in (lambda: file.write_bytes(b"\\xff" * file.stat().st_size), lambda: open(file, "wb").close()):
    given, whole = load(file), file.read_bytes()
    before = given.latents.double().sum()
    change()
    assert given.latents.double().sum() == before
    file.write_bytes(whole)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, f"{run.returncode}: {run.stderr[-2000:]}"


def test_other_programs_read_our_files_and_ours_reads_theirs(tmp_path: Path):
    file, given = saved(tmp_path), trajectory(4)
    assert torch.equal(load_file(file)["latents"], given.latents)
    assert same(load(rewritten(file, {})), given)


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


def header(text: bytes, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text + data


def one(**changes: Any) -> bytes:
    """A file of one tensor whose header says something else."""
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
    return header(json.dumps({"a": entry}).encode(), b"\0" * 8)


LIES = {
    "nothing": header(b"{}"),
    "a long header": (1 << 21).to_bytes(8, "little") + b" " * (1 << 21),
    "deep": header(b"[" * 100_000),
    "no text": header(b'{"__metadata__": {"a": 1}}'),
    "no texts": header(b'{"__metadata__": []}'),
    "another dtype": one(dtype="F16"),
    "a float": one(data_offsets=[0.0, 8.0]),
    "before the start": one(data_offsets=[-8, 0]),
    "beyond the end": one(data_offsets=[8, 16]),
    "too short": one(shape=[1], data_offsets=[0, 4]),
    "an empty side": one(shape=[0, 10**30], data_offsets=[0, 0]),
    "many sides": one(shape=[2, *[1] * 100]),
    "negative sides": one(shape=[-1, -2]),
    "digits": header(b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 8]}}'),
    "overlap": header(
        json.dumps({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in "ab"}).encode(),
        b"\0" * 4,
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused(tmp_path: Path, lie: str):
    file = tmp_path / "a.p2p.safetensors"
    file.write_bytes(LIES[lie])
    with pytest.raises(P2PError, match="trajectory in"):
        load(file)


def test_a_file_larger_than_a_trajectory_may_be_is_refused_before_it_is_read(tmp_path: Path):
    file = saved(tmp_path)
    os.truncate(file, 5 << 30)
    with pytest.raises(P2PError, match=r"a file of 5\.4 GB"):
        load(file)


# Saving


def test_a_taken_name_is_not_overwritten(tmp_path: Path):
    file = saved(tmp_path)
    whole = file.read_bytes()
    assert not save(trajectory(2), file) and file.read_bytes() == whole
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_of_two_saves_at_once_only_one_has_the_name(tmp_path: Path):
    file = tmp_path / "a.p2p.safetensors"
    with ThreadPoolExecutor(8) as pool:
        given = [trajectory(n) for n in range(2, 10)]
        kept = [n for n, done in enumerate(pool.map(lambda each: save(each, file), given)) if done]
    assert len(kept) == 1 and same(load(file), given[kept[0]])


def test_drafts_of_killed_saves_are_removed_and_those_of_others_are_kept(tmp_path: Path):
    old, new = (tmp_path / f"{name}.p2p.safetensors.draft" for name in ("old", "new"))
    for draft in (old, new):
        draft.write_bytes(b"half")
    os.utime(old, (0, 0))
    saved(tmp_path)
    assert not old.exists() and new.exists()


TROUBLES = {
    errno.ENOSPC: "a full disk",
    errno.ENAMETOOLONG: "a name that is too long",
    errno.EACCES: "no permission",
    errno.EROFS: "a read-only disk",
    errno.EIO: "Input/output error",
}


@pytest.mark.parametrize("number", TROUBLES)
def test_a_save_that_fails_says_why_and_leaves_nothing(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
):
    def fails(stream: Any, tensors: Any, texts: Any) -> None:
        stream.write(b"half")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "write", fails)
    with pytest.raises(P2PError, match=f"a place to save .*, got {TROUBLES[number]}\\. Free some space"):
        saved(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_disk_that_is_really_full():
    with pytest.raises(P2PError, match="a full disk"), saving("a"), Path("/dev/full").open("wb") as stream:
        write(stream, {"a": torch.zeros(10_000)}, {})


def test_a_name_that_is_too_long_for_the_disk(tmp_path: Path):
    with pytest.raises(P2PError, match="a name that is too long"):
        save(trajectory(2), tmp_path / ("a" * 300))
