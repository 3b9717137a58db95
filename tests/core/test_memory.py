"""Memory is asked for before it is taken, and not much more is taken than comes out."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from inverting import VE, falling, trajectory
from running import PROMPTS, record
from stored import LARGE, prompts_of, scene_of, stored

from p2p_core import limits
from p2p_core.edits.steps import Reweight, TokenEdit
from p2p_core.errors import P2PError
from p2p_core.limits import in_words, require_memory
from p2p_core.maps.heat import word_masks
from p2p_core.maps.recording import Record, Recorder
from p2p_core.pictures.strips import strips
from p2p_core.plan import EditPlan
from p2p_core.real.inversion import Inversion, InversionMethod, invert
from p2p_core.words.pieces import Piece, build_prompt
from p2p_core.words.prompts import Prompt, PromptSet
from p2p_core.words.weights import parse_weights

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_too_much_is_named_with_its_size() -> None:
    require_memory("20 pictures", 100, 400, "Take fewer.")
    with pytest.raises(P2PError) as error:
        require_memory("20 pictures of 1024 × 1024", 350_000_000, 1_000_000_000, "Take fewer.")
    assert str(error.value) == (
        "expected at most 1.0 GB at once, got 20 pictures of 1024 × 1024: 1.4 GB. Take fewer."
    )
    assert in_words(12_600_000) == "12.6 MB"


def refused(what: str, call: object) -> None:
    assert callable(call)
    with pytest.raises(P2PError, match=what):
        call()


def test_maps_of_many_words_are_refused_before_the_first_call() -> None:
    prompts = PROMPTS
    few, many = record("cat"), Record(record("cat").channels * 1000, record("cat").store, parts=50)
    scene = scene_of(prompts, 64, (256, 256))
    Recorder(few, scene)
    refused(r"maps of 1000 words in 2 layers, 50 parts and 192 images: .* GB", lambda: Recorder(many, scene))


def test_self_attention_of_many_images_is_refused() -> None:
    kept = record(self_scale=1)
    refused(
        r"maps of 0 words .* 768 images: 13\.7 GB", lambda: Recorder(kept, scene_of(PROMPTS, 256, (64, 33)))
    )


def test_a_trajectory_that_would_be_too_large_is_refused_before_the_first_call() -> None:
    def never(x: torch.Tensor, sigma: float) -> torch.Tensor:
        raise AssertionError

    picture = torch.zeros(1).expand(64, 16, 256, 256)
    methods: tuple[InversionMethod, ...] = ("euler", "edit-friendly noise")
    for method in methods:
        inverted = partial(invert, never, picture, falling(100), Inversion(method), VE)
        refused(r"steps of 64 × 16 × 256 × 256 values: .* GB", inverted)


def test_the_tensors_of_a_trajectory_are_limited_together(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = torch.zeros(4, 2, 3, 4, 5)
    monkeypatch.setattr("p2p_core.real.trajectory.TRAJECTORY", 4 * 5 * 120)
    trajectory(4)
    refused(r"values: 0\.0 MB", lambda: trajectory(4, noise=noise))


def long(count: int) -> Prompt:
    pieces = [Piece("", "special"), *[Piece("a")] * count, Piece("", "special")]
    return build_prompt("a", pieces, chunk=len(pieces))


@pytest.mark.parametrize("step", [TokenEdit("edit"), Reweight(parse_weights("a: 2"))])
def test_prompts_whose_mixing_would_be_too_large_are_refused(step: TokenEdit | Reweight) -> None:
    prompts = PromptSet(long(9000), (long(9000),))
    refused(r"the mixing of 9,002 and 9,002 tokens: 324\.1 MB", lambda: EditPlan(prompts).then(prompts, step))


def test_masks_and_strips_that_would_be_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = prompts_of("a cat", "a dog")
    recorded = stored(prompts, {LARGE: torch.rand(1, 2, 3, 8, 8)}, (8, 8))
    refused(r"2 masks of 16384 × 16384: 2\.1 GB", lambda: word_masks(recorded, [], 0.5, (16384, 16384)))
    monkeypatch.setattr("p2p_core.pictures.colours.PICTURES", 12 * 64)
    refused(r"6 images of 8 × 8", lambda: next(iter(strips(recorded, [], None))))


# The most memory that a process had, relative to what came out

PEAK = """
import resource, sys, torch
sys.path.append({core!r})
torch.set_num_threads(1)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def size(made):
    tensors = made if isinstance(made, (list, tuple)) else [made]
    return sum(tensor.nbytes for tensor in tensors)

{setup}
def result(count):
{code}
result(1)
before = peak()
made = result({count})
print((peak() - before) / size(made))
"""
STORE = """
from stored import *
from p2p_core.maps.heat import word_masks
from p2p_core.pictures.drawing import draw
from p2p_core.pictures.sheets import word_sheet
from p2p_core.pictures.strips import strips
prompts = prompts_of("a red cat on green grass", "a red dog on green grass")
def kept(samples, side=16):
    sides = {layer: side // layer.scale for layer in (LARGE, SMALL)}
    maps = {layer: torch.rand(4, 2 * samples, 6, s, s) for layer, s in sides.items()}
    return stored(prompts, maps, (side, side), ["a", "red", "on", "green", "grass", "cat"])
stores = {n: kept(n) for n in (1, 8)}
wide = {n: kept(n, 128) for n in (1, 4)}
"""
INVERT = """
from inverting import *
picture = torch.randn(4, 4, 128, 128)
"""
KINDS = {
    "overlays": (
        "from p2p_core.pictures.colours import overlay\npicture = torch.rand(1, 1024, 1024, 3)",
        "return overlay(picture, torch.rand(1, count, 16, 16), 0.5)",
        16,
    ),
    "sheets": (STORE, "return draw(word_sheet(stores[count], 'words'))", 8),
    "a sheet": (STORE, "return draw(word_sheet(stores[1], 'steps', ['red', 'on', 'green'][:count]))", 3),
    "masks": (STORE, "return word_masks(stores[count], [], 0.5, (1024, 1024))", 8),
    "strips": (STORE, "return next(iter(strips(wide[count], [], None))).picture", 4),
    "latents of an inversion": (
        INVERT,
        "return invert(waving, picture, falling(60 * count), Inversion('euler'), VE).latents",
        2,
    ),
    "latents and noise": (
        INVERT,
        "found = invert(waving, picture, falling(40 * count), Inversion('edit-friendly noise'), VE)\n"
        "    return found.latents, found.noise",
        2,
    ),
    "a trajectory from a file": (
        "from inverting import *\nfrom pathlib import Path\nfrom p2p_core.real.files import load, save\n"
        "for n in (1, 40): save(trajectory(n, size=(256, 256)), Path(f'{n}.p2p.safetensors'))",
        "t = load(Path(f'{count}.p2p.safetensors'))\n    return t.latents, t.picture",
        40,
    ),
}


@pytest.mark.skipif(sys.platform == "win32", reason="its processes do not report the most memory they had")
@pytest.mark.parametrize("kind", KINDS)
def test_the_peak_is_little_more_than_what_comes_out(tmp_path: Path, kind: str) -> None:
    setup, code, count = KINDS[kind]
    core = str(ROOT / "tests" / "core")
    script = PEAK.format(core=core, setup=setup, code=f"    {code}", count=count)
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert float(run.stdout) <= 1.3


def test_the_limits_are_in_one_place() -> None:
    """No other file of the core or of the nodes has a limit in bytes."""
    files = [file for folder in ("p2p_core", "nodes") for file in (ROOT / folder).rglob("*.py")]
    owners = {file.name for file in files if "<< 30" in file.read_text("utf-8")}
    assert owners == {Path(limits.__file__).name}
