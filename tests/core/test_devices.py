"""A run on other devices than the CPU, and on several at once, gives what it gives on the CPU."""

from __future__ import annotations

import pytest
import torch
from elsewhere import FIRST, SECOND, several_devices
from inverting import trajectory
from prompts_of import made_of
from running import (
    ATTEND,
    LATENT,
    LAYERS,
    NEAR,
    PROMPTS,
    blend,
    call,
    latents,
    own_qkv,
    plain_map,
    qkv,
    record,
    run_of,
)
from torch import Tensor

from p2p_core.edits.steps import Reweight, TokenEdit
from p2p_core.maps.blending import Blend
from p2p_core.maps.recording import Record
from p2p_core.real.pinning import RealImage
from p2p_core.run import Run
from p2p_core.step import Step
from p2p_core.words.prompts import PromptSet
from p2p_core.words.weights import parse_weights

CPU = torch.device("cpu")
PROGRESS, SIGMAS = [0.0, 0.3, 0.7], torch.tensor([10.0, 7.5, 5.0, 0.0])


def cross(run: Run, progress: float, seed: int, device: torch.device) -> Tensor:
    q, k, v = (t.to(device) for t in qkv(run, NEAR, seed))
    return run.cross(call(NEAR, progress), q, k, v, ATTEND)


def test_parts_of_a_sampling_on_two_devices_are_joined() -> None:
    """With several GPUs, each may see the first model call of another part."""
    what = record("cat", parts=2)
    run = run_of(what)
    with several_devices():
        for seed, (progress, device) in enumerate([(0.1, FIRST), (0.9, SECOND), (0.9, FIRST), (0.1, SECOND)]):
            cross(run, progress, seed, device)
        run.finish(latents(run).to(FIRST))
    found = what.store.read(latents(run)).maps[NEAR][:, 0, 0]
    for part, seeds in ((0, (0, 3)), (1, (1, 2))):
        expected = torch.stack([plain_map(run, NEAR, seed, 0, ("cat",)) for seed in seeds]).mean(0)
        torch.testing.assert_close(found[part], expected)


CAT = PromptSet(made_of("a cat"), (made_of("a red dog"),))
MASK = torch.ones(1, 24, 32)
MASK[..., :9] = 0.25
STEPS: dict[str, tuple[PromptSet, list[Step]]] = {
    "edits, maps and blends": (
        PROMPTS,
        [
            TokenEdit("edit"),
            Reweight(parse_weights("red: 3, hill: -1")),
            record("cat", "a", self_scale=1),
            blend("cat", edit=("dog",), soft=1, mask=MASK, threshold=0.6),
            blend(mask=MASK, start=0.5),
        ],
    ),
    "a real picture": (
        CAT,
        [
            TokenEdit("refine"),
            RealImage(trajectory(sigmas=SIGMAS, steps=3, samples=1, size=LATENT), quantile=0.5),
            blend("cat", edit=("dog",), threshold=0.6),
        ],
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_run_on_another_device_gives_the_same(name: str) -> None:
    """But for rounding: the attention of `meta` is another than the CPU's."""
    prompts, steps = STEPS[name]
    here, expected = sampled(run_of(*steps, prompts=prompts), CPU), stores(steps)
    with several_devices():
        there = sampled(run_of(*steps, prompts=prompts), FIRST)
    torch.testing.assert_close(there, here, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(stores(steps), expected, atol=1e-5, rtol=1e-5)


def sampled(run: Run, device: torch.device) -> list[Tensor]:
    """All that a sampling gets from a run, on the CPU."""
    channels = 3 if any(run.plan.of(RealImage)) else 4
    run.start(SIGMAS, PROGRESS)
    x = latents(run)[:, :channels].to(device)
    seen: list[Tensor] = []
    for step, progress in enumerate(PROGRESS):
        x = run.before_model(x, float(SIGMAS[step]), progress)
        for layer in LAYERS:
            q, k, v = (t.to(device) for t in qkv(run, layer, step))
            seen.append(run.cross(call(layer, progress), q, k, v, ATTEND))
            q, k, v = (t.to(device) for t in own_qkv(run, layer, step))
            seen.append(run.self_attention(call(layer, progress), q, k, v, ATTEND))
        guided, others = run.guided(x * 0.9, [x * 0.8], progress)
        clean = run.after_model(guided, progress)
        seen += [x, clean, *others]
        x = 0.5 * (x + clean)
    return [tensor.cpu() for tensor in (*seen, run.finish(x))]


def stores(steps: list[Step]) -> list[Tensor]:
    """What the steps' last run left."""
    left = [step.store.read() for step in steps if isinstance(step, Record | Blend)]
    tensors = [(*each.maps.values(), each.self_map, each.blend, *each.signatures) for each in left]
    return [tensor for some in tensors for tensor in some if tensor is not None]


# The devices themselves


def test_what_is_on_two_devices_does_not_mix() -> None:
    with several_devices():
        a, b = torch.ones(2).to(FIRST), torch.tensor([1.0, 2.0], device=SECOND)
        assert (a.device, b.device, torch.zeros(2, device=FIRST).device) == (FIRST, SECOND, FIRST)
        for other in (b, torch.ones(2)):
            with pytest.raises(RuntimeError, match="of tensors on"):
                torch.add(a, other)
        assert (a.to(SECOND) + b).cpu().tolist() == [2, 3] and (a[1:] * 2).device == FIRST
