"""Measures of edited pictures, PIE-Bench's layout, and inversion on the second host."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.real.fidelity import fidelity, ssim, structure_distance
from benchmarks.real.pie_set import blended, decoded, read_set
from benchmarks.real.real_images import KINDS, WAYS
from benchmarks.real.real_report import edits_table, reconstruction_table
from demo.diffusers_host.inverting import NOISE, edit_pictures, encoded, inverted, timestep_of
from demo.diffusers_host.pipeline import load, schedule
from demo.training.checker import to_tensor
from demo.world.scenes import Scene, random_scene
from p2p_core.edits.steps import TokenEdit
from p2p_core.errors import P2PError
from p2p_core.plan import EditPlan
from p2p_core.real.pinning import RealImage

ALL = torch.ones(64, 64)


def picture(seed: int = 0) -> torch.Tensor:
    return torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(seed))


# Measures


def test_a_picture_is_as_near_to_itself_as_can_be():
    found = fidelity(picture(), picture(), ALL)
    assert (found.structure, found.mse, found.psnr) == (0, 0, math.inf) and found.ssim == pytest.approx(1)


def test_what_may_change_does_not_count():
    kept, edited = ALL.clone(), picture().clone()
    kept[:32] = 0
    edited[:, :20] = 0
    found = fidelity(picture(), edited, kept)
    assert found.mse == 0 and found.structure > 0
    assert fidelity(picture(), edited, ALL).mse == pytest.approx(float((picture() - edited).square().mean()))


def test_structure_knows_outlines_and_no_brightness():
    moved, darker = picture().roll(16, 2), 0.7 * picture()
    assert structure_distance(picture(), darker) < 0.01 * structure_distance(picture(), moved)


def test_ssim_falls_with_noise_and_is_the_published_formula():
    """A constant shift keeps contrast and structure and only changes luminance."""
    flat = torch.full((3, 32, 32), 0.5)
    wanted = (2 * 0.5 * 0.6 + 1e-4) / (0.25 + 0.36 + 1e-4)
    assert ssim(flat, flat + 0.1) == pytest.approx(wanted, rel=1e-3)
    noisy = [ssim(picture(), picture() + s * torch.randn(3, 64, 64)) for s in (0.05, 0.5)]
    assert 1 > noisy[0] > noisy[1]


# PIE-Bench


def test_a_mask_is_of_starts_and_lengths_with_a_rim():
    mask = decoded([512 * 10 + 20, 5, 512 * 512 - 3, 100])
    assert mask[10, 20:25].tolist() == [1] * 5 and mask[10, 19] == mask[10, 25] == 0
    assert all(bool((edge == 1).all()) for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))


def test_blended_words_are_those_that_the_prompts_have():
    assert blended("cat dog", "a cat sits", "a dog sits") == (("cat",), ("dog",))
    for words in ("", "cat", "cat bird", "a b c"):
        assert blended(words, "a cat sits", "a dog sits") == ((), ())


def written(folder: Path, **changes: Any) -> Path:
    entry = {
        "image_path": "0_random/1.jpg",
        "original_prompt": "a [cat]  sits",
        "editing_prompt": "a [dog] sits",
    }
    entry |= {"blended_word": "cat dog", "mask": [0, 4], **changes}
    (folder / "annotation_images" / "0_random").mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "annotation_images" / "0_random" / "1.jpg")
    (folder / "mapping_file.json").write_text(json.dumps({"000": entry}), "utf-8")
    return folder


def test_a_set_is_read(tmp_path: Path):
    (item,) = read_set(written(tmp_path))
    assert (item.key, item.source, item.edit) == ("000", "a cat sits", "a dog sits")
    assert item.words == (("cat",), ("dog",)) and item.mask(64, 32).shape == (64, 32)


@pytest.mark.parametrize(
    "changes",
    [{"image_path": "0_random/2.jpg"}, {"image_path": "../../x.jpg"}, {"mask": None}, {"original_prompt": 3}],
)
def test_a_set_of_another_layout_is_refused(tmp_path: Path, changes: dict[str, Any]):
    with pytest.raises(P2PError):
        read_set(written(tmp_path, **changes))


def test_no_set_is_refused(tmp_path: Path):
    with pytest.raises(P2PError, match="mapping_file"):
        read_set(tmp_path)


# Tables


def test_tables_tell_exact_pictures_and_leave_out_ways_that_no_edit_has():
    score = {
        "structure": 0.01,
        "mse": 0.001,
        "psnr": 30.0,
        "ssim": 0.9,
        "time": 1.5,
        "done": True,
        "in_place": False,
    }
    results = [
        {"inversions": {"euler": {"latent": 30.0, "picture": 40.0, "time": 0.5}},
         "ways": {"pinned": {**score, "source": math.inf}, "free": {**score, "source": 25.0}}},
    ]  # fmt: skip
    table = edits_table(results, ["free", "pinned", "none"]).splitlines()
    assert len(table) == 4
    assert table[2] == "| free | 1 | 25.0 dB | 10.00 | 30.00 | 10.0 | 90.00 | 100% | 0% | 1.50 |"
    assert "| exact |" in table[3]
    assert reconstruction_table(results).splitlines()[2] == "| euler | 30.0 dB | 40.0 dB | 0.50 |"


# Inversion in diffusers


def test_levels_are_those_of_the_sampling():
    timesteps, sigmas = schedule(7)
    assert [timestep_of(float(s)) for s in sigmas[:-1]] == timesteps.tolist()


@pytest.fixture(scope="module")
def pipe() -> Any:
    return load()


@pytest.fixture(scope="module")
def drawn() -> Scene:
    import random

    return random_scene(random.Random(53))


@pytest.mark.parametrize("method", ["euler at target level", NOISE])
def test_an_edit_of_a_picture_keeps_the_picture(pipe: Any, drawn: Scene, method: Any):
    latent = encoded(pipe, to_tensor(drawn, pixels=128)[None].add(1).div(2))
    texts = drawn.caption, drawn.caption.replace("red", "purple")
    prompts = pipe.prompts(*texts)
    trajectory = inverted(pipe, latent, texts[0], 4, method)
    plan = EditPlan(prompts).then(prompts, TokenEdit("edit")).then(prompts, RealImage(trajectory))
    rows = edit_pictures(pipe, texts, plan, 5.0)
    assert torch.equal(rows[:1], latent) and (rows[1] - latent[0]).abs().max() > 0.1


def test_every_kind_of_edit_but_weights_is_measured():
    assert len(KINDS) == 8 and len(WAYS) == 8
