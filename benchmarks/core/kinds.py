"""Kinds of edits, run on the device `meta`: attention calls and model calls of a tiny model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from p2p_core.architecture.layers import Layer
from p2p_core.edits.steps import Reweight, TokenEdit
from p2p_core.maps.blending import Blend
from p2p_core.maps.masks import MaskRule
from p2p_core.maps.recording import Record
from p2p_core.maps.store import MapStore, word_channel
from p2p_core.plan import EditPlan
from p2p_core.real.pinning import RealImage
from p2p_core.real.trajectory import Trajectory
from p2p_core.run import Run
from p2p_core.step import Call, Scene, Step
from p2p_core.words.pieces import Piece, build_prompt
from p2p_core.words.prompts import Prompt, PromptSet
from p2p_core.words.weights import parse_weights
from p2p_core.words.windows import Window

from ..shared.dispatch import DEVICE

COLUMNS, HEADS, WIDTH = 77, 2, 16
LATENT, CHANNELS = (64, 64), 4
FIRST, SECOND = Layer("input", 7, 0, 4), Layer("output", 3, 0, 4)
SIZE = (16, 16)  # of both layers
SIGMAS, PROGRESS = torch.tensor([9.0, 6.0, 3.0, 0.0]), (0.1, 0.2, 0.3)

SOURCE = "a red circle and a blue star on grass"
SWAPPED = "a red house and a blue star on grass"
ADDED = "a red circle and a big blue star on grass"


def prompt_of(text: str) -> Prompt:
    """A prompt whose words are one token each."""
    special, words = Piece("", "special"), [Piece(word) for word in text.split()]
    return build_prompt(text, [special, *words, *[special] * (COLUMNS - 1 - len(words))])


Steps = Callable[[PromptSet], Sequence[Step]]
Attention = Callable[[Run, Layer, float], int]


@dataclass(frozen=True)
class Kind:
    """Steps for prompts of the source and these edits."""

    steps: Steps
    edits: tuple[str, ...] = (ADDED,)

    def run(self) -> Run:
        prompts = PromptSet(prompt_of(SOURCE), tuple(map(prompt_of, self.edits)))
        plan = EditPlan(prompts)
        for step in self.steps(prompts):
            plan = plan.then(prompts, step)
        return Run(plan, Scene(plan.prompts, 1, LATENT, (FIRST, SECOND)))


def _store(prompts: PromptSet, self_scale: int = 0) -> Record:
    channels = tuple(word_channel(word, prompts) for word in prompts.names)
    return Record(channels, MapStore(), self_scale=self_scale)


def _blend(**rule: object) -> Blend:
    return Blend(("circle",), ("circle",), ("grass",), MapStore(), MaskRule(**rule), start=0.0)  # type: ignore[arg-type]


def _real() -> RealImage:
    latents = torch.zeros(len(SIGMAS), 1, CHANNELS, *LATENT)
    texts = (SOURCE, "model", "euler", "3 steps")
    trajectory = Trajectory(SIGMAS, latents, latents[-1], torch.zeros(COLUMNS, WIDTH), *texts)
    return RealImage(trajectory, quantile=0.7)


SHUT, EDIT = Window(0, 0), TokenEdit("edit")
PLAIN: dict[str, Kind] = {
    "swap": Kind(lambda p: [TokenEdit("swap")], (SWAPPED,)),
    "swap of three edits": Kind(lambda p: [TokenEdit("swap")], (SWAPPED,) * 3),
    "refine, a word added": Kind(lambda p: [TokenEdit("refine")]),
    "edit, a word added": Kind(lambda p: [EDIT]),
    "edit, a word added in each of three": Kind(lambda p: [EDIT], (ADDED,) * 3),
    "re-weighting": Kind(lambda p: [Reweight(parse_weights("star: 3"))]),
    "edit and re-weighting": Kind(lambda p: [EDIT, Reweight(parse_weights("big: 3"))]),
    "windows closed": Kind(lambda p: [TokenEdit("edit", SHUT, SHUT)]),
}
WATCHED: dict[str, Kind] = {
    "store of all words": Kind(lambda p: [_store(p)]),
    "edit and store of all words": Kind(lambda p: [EDIT, _store(p)]),
    "edit and store of self-attention too": Kind(lambda p: [EDIT, _store(p, self_scale=4)]),
    "edit and local blend": Kind(lambda p: [EDIT, _blend()]),
    "edit and local blend, soft, in a mask": Kind(
        lambda p: [EDIT, _blend(soft=4, mask=torch.ones(1, 512, 512) / 2)]
    ),
    "a mask alone": Kind(lambda p: [EDIT, _blend(mask=torch.ones(1, 512, 512), mask_mode="replace")]),
    "real picture": Kind(lambda p: [EDIT, _real()]),
}
KINDS = PLAIN | WATCHED


# Calls


def cross(run: Run, layer: Layer, progress: float, dtype: torch.dtype = torch.float32) -> int:
    """A cross-attention call of both halves of a batch; how often it calls the host's attention."""
    q, k, attend = *_qk(run, COLUMNS, dtype), _Attend()
    run.cross(_call(layer, progress), q, k, torch.empty_like(k), attend)
    return attend.calls


def self_attention(run: Run, layer: Layer, progress: float, dtype: torch.dtype = torch.float32) -> int:
    """The same with as many keys as queries."""
    q, k, attend = *_qk(run, SIZE[0] * SIZE[1], dtype), _Attend()
    run.self_attention(_call(layer, progress), q, k, torch.empty_like(k), attend)
    return attend.calls


CALLS: tuple[Attention, ...] = (cross, self_attention)


class _Attend:
    """The host's attention, of which nothing is counted but its calls."""

    calls = 0

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.calls += 1
        return torch.empty_like(q)


def _qk(run: Run, keys: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    batch = 2 * run.scene.rows.count
    q, k = (torch.empty(batch, n, WIDTH, device=DEVICE, dtype=dtype) for n in (SIZE[0] * SIZE[1], keys))
    return q, k


def _call(layer: Layer, progress: float) -> Call:
    return Call(layer, progress, SIZE, HEADS, (False, True))
