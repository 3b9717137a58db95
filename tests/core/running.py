"""Runs for tests: a model of two layers, its attention calls and its latents."""

from __future__ import annotations

from typing import Any

import torch
from attending import attention
from paper_form import Case, maps, weighted
from planned import mixing, plan_of
from prompts_of import made_of
from torch import Tensor

from p2p_core.architecture.layers import Layer
from p2p_core.attention.editing import RowEdit
from p2p_core.maps.blending import Blend
from p2p_core.maps.masks import MaskRule
from p2p_core.maps.recording import Record
from p2p_core.maps.store import MapStore, word_channel
from p2p_core.run import Run
from p2p_core.step import Call, Scene, Step
from p2p_core.words.prompts import PromptSet

PROMPTS = PromptSet(made_of("a cat*2 on grass"), (made_of("a red dog on grass"), made_of("a cow on a hill")))
ALONE = PromptSet(PROMPTS.source, ())
NEAR, FAR = Layer("output", 3, 0, 1), Layer("middle", 0, 0, 2)
LAYERS, SIZES = (NEAR, FAR), {NEAR: (3, 4), FAR: (2, 2)}
LATENT, HEADS, WIDTH = (3, 4), 2, 8
ATTEND = attention(HEADS)
PAIRED = (False, True)  # an unconditional and a conditional half


def run_of(*steps: Step, prompts: PromptSet = PROMPTS, samples: int = 1) -> Run:
    plan = plan_of(prompts, *steps)
    return Run(plan, Scene(plan.prompts, samples, LATENT, LAYERS))


def record(*words: str, prompts: PromptSet = PROMPTS, **options: Any) -> Record:
    return Record(tuple(word_channel(word, prompts) for word in words), MapStore(), **options)


def blend(*source: str, edit: tuple[str, ...] = (), **rule: Any) -> Blend:
    others = {name: rule.pop(name) for name in ("start", "layers") if name in rule}
    return Blend(source, edit, (), MapStore(), MaskRule(**rule), **others)


def call(layer: Layer, progress: float) -> Call:
    return Call(layer, progress, SIZES[layer], HEADS, PAIRED)


def qkv(run: Run, layer: Layer, seed: int, keys: int = 77) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v of both halves: [B, N, C] and twice [B, K, C]."""
    random, (h, w) = torch.Generator().manual_seed(seed), SIZES[layer]
    rows = 2 * run.scene.rows.count
    q, k, v = (torch.randn(rows, n, WIDTH, generator=random) for n in (h * w, keys, keys))
    return q, k, v


def own_qkv(run: Run, layer: Layer, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v of self-attention, with as many keys as queries."""
    return qkv(run, layer, seed, SIZES[layer][0] * SIZES[layer][1])


def cross(run: Run, layer: Layer, progress: float, seed: int = 0) -> Tensor:
    return run.cross(call(layer, progress), *qkv(run, layer, seed), ATTEND)


def own(run: Run, layer: Layer, progress: float, seed: int = 0) -> Tensor:
    return run.self_attention(call(layer, progress), *own_qkv(run, layer, seed), ATTEND)


def latents(run: Run, seed: int = 0) -> Tensor:
    return torch.randn(run.scene.rows.count, 4, *LATENT, generator=torch.Generator().manual_seed(seed))


# The paper's form


def as_case(run: Run, layer: Layer, progress: float, seed: int) -> Case:
    """The call of `cross` with the edits of the plan, for `Case.paper`."""
    q, k, v = qkv(run, layer, seed)
    case, rows = Case(HEADS, q, k, v, [77] * len(q), []), run.scene.rows
    for row in rows.edited:
        found = mixing(run.plan, rows.prompt(row), layer, progress)
        source = rows.row(rows.sample(row), 0)
        case.edits.append(RowEdit(rows.count + row, rows.count + source, found))
    return case


def injected(run: Run, layer: Layer, seed: int) -> Tensor:
    """The call of `own` with the source's map in edit rows, [B, N, C] in float64."""
    (q, k, v), rows = own_qkv(run, layer, seed), run.scene.rows
    half = [rows.row(rows.sample(r), 0) + rows.count for r in range(rows.count)]
    used = [*range(rows.count), *half]
    return torch.stack([weighted(maps(q[s], k[s], HEADS), v[r]) for r, s in enumerate(used)])


def plain_map(run: Run, layer: Layer, seed: int, row: int, words: tuple[str, ...]) -> Tensor:
    """The map [h, w] of a row of the conditional half, summed over the columns of its words."""
    q, k, _ = qkv(run, layer, seed)
    prompt = run.scene.prompts.prompts[run.scene.rows.prompt(row)]
    columns = [column for word in words if prompt.has(word) for column in prompt.find(word)]
    row += run.scene.rows.count
    return maps(q[row], k[row], HEADS).mean(0)[:, columns].sum(1).view(SIZES[layer]).float()
