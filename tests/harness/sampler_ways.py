"""The stock ways to sample, each with its own nodes, and the checks of a paired sampling in each."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import comfy.k_diffusion.sampling as k_diffusion
import torch
from graphs import NEGATIVE, SOURCE, Graph, differ, repeated
from torch import Tensor

SEED, STEPS, CFG = 7, 4, 4.0
SIDE = 64  # pixels
BY_THE_BATCH = {"dpm_adaptive": "its steps", "Perp-Neg Guider": "its projection"}  # computed over all rows

stock: Any = importlib.import_module("nodes")


@dataclass(frozen=True)
class Job:
    """The inputs of a graph's samplers."""

    model: Any
    positive: Any
    negative: Any
    latent: dict[str, Any]
    sampler: str
    scheduler: str


def node(module: str, name: str, **inputs: Any) -> Any:
    """The first output of a node of the host, V1 or V3."""
    kind = getattr(importlib.import_module(module), name)
    result = kind.execute(**inputs) if hasattr(kind, "execute") else getattr(kind(), kind.FUNCTION)(**inputs)
    return getattr(result, "args", result)[0]


custom = functools.partial(node, "comfy_extras.nodes_custom_sampler")


def ksampler(job: Job) -> Tensor:
    run, settings = stock.KSampler().sample, (SEED, STEPS, CFG, job.sampler, job.scheduler)
    return run(job.model, *settings, job.positive, job.negative, job.latent)[0]["samples"]


def two_halves(job: Job) -> Tensor:
    run, settings = stock.KSamplerAdvanced().sample, (SEED, STEPS, CFG, job.sampler, job.scheduler)
    conds, half = (job.positive, job.negative), STEPS // 2
    first = run(job.model, "enable", *settings, *conds, job.latent, 0, half, "enable")[0]
    return run(job.model, "disable", *settings, *conds, first, half, STEPS, "disable")[0]["samples"]


def _parts(job: Job) -> dict[str, Any]:
    sigmas = custom("BasicScheduler", model=job.model, scheduler=job.scheduler, steps=STEPS, denoise=1.0)
    return {"sampler": custom("KSamplerSelect", sampler_name=job.sampler), "sigmas": sigmas}


def sampler_custom(job: Job) -> Tensor:
    conds = {"positive": job.positive, "negative": job.negative}
    seeded = {"add_noise": True, "noise_seed": SEED, "cfg": CFG, "latent_image": job.latent}
    return custom("SamplerCustom", model=job.model, **seeded, **conds, **_parts(job))["samples"]


def advanced(job: Job, guider: Any) -> Tensor:
    noise = custom("RandomNoise", noise_seed=SEED)
    rest = {"latent_image": job.latent, **_parts(job)}
    return custom("SamplerCustomAdvanced", noise=noise, guider=guider, **rest)["samples"]


def cfg_guider(job: Job) -> Tensor:
    conds = {"positive": job.positive, "negative": job.negative}
    return advanced(job, custom("CFGGuider", model=job.model, cfg=CFG, **conds))


def dual_guider(job: Job) -> Tensor:
    conds = {"cond1": job.positive, "cond2": job.positive, "negative": job.negative}
    scales = {"cfg_conds": CFG, "cfg_cond2_negative": 2.0, "style": "regular"}
    return advanced(job, custom("DualCFGGuider", model=job.model, **conds, **scales))


def perp_neg_guider(job: Job) -> Tensor:
    conds = {"positive": job.positive, "negative": job.negative, "empty_conditioning": job.negative}
    scales = {"cfg": CFG, "neg_scale": 0.5}
    return advanced(
        job, node("comfy_extras.nodes_perpneg", "PerpNegGuider", model=job.model, **conds, **scales)
    )


WAYS: dict[str, Callable[[Job], Tensor]] = {
    "KSampler": ksampler,
    "KSampler (Advanced), two halves": two_halves,
    "Sampler Custom": sampler_custom,
    "CFG Guider": cfg_guider,
    "Dual CFG Guider": dual_guider,
    "Perp-Neg Guider": perp_neg_guider,
}


def trouble(graph: Graph, way: str, sampler: str, scheduler: str) -> str:
    """What is wrong with a paired sampling; empty if nothing is.

    The source must be, bit for bit, the plain run of the source prompt with as many rows and with the noise
    that it draws for one. The edit must differ from it in the right half of a Local Blend mask, and only
    there.
    """
    host, mask = graph.host, torch.zeros(1, SIDE // 8, SIDE // 8)
    mask[..., SIDE // 16 :] = 1.0
    latent, negative = host.empty_latent(SIDE, SIDE), host.encode(NEGATIVE)

    def run(model: Any, positive: Any, latent: Any) -> Tensor:
        with torch.inference_mode():
            return WAYS[way](Job(model, positive, negative, latent, sampler, scheduler))

    try:
        with noise_of_one_row():
            plain = run(host.model(), host.encode(SOURCE), repeated(latent, 2))
    except Exception as error:
        return f"the host's own run fails ({type(error).__name__}: {error})"
    prompts, positive = graph.pair()
    blended, _ = graph.on("LocalBlend", prompts, mask=mask, start=0.0)
    source, edit = run(graph.swapped(prompts, blended), positive, latent)
    if way in BY_THE_BATCH or sampler in BY_THE_BATCH:
        prompts, positive = graph.pair(SOURCE, SOURCE)
        source_of_equals = run(graph.swapped(prompts), positive, latent)[0]
        same = torch.equal(source_of_equals, plain[0])
    else:
        same = torch.equal(source, plain[0])
    kept = torch.equal(source[..., : SIDE // 16], edit[..., : SIDE // 16])
    found = {
        "not a number": not torch.isfinite(plain).all(),
        "the source is not that of a plain run": not same,
        "changed outside the mask": not kept,
        "no edit": not differ(source, edit),
    }
    return ", ".join(name for name, is_so in found.items() if is_so)


@contextmanager
def noise_of_one_row() -> Iterator[None]:
    """The host's samplers draw noise for the first row only, and all rows get it."""
    names = ("default_noise_sampler", "BrownianTreeNoiseSampler")
    makers = {name: getattr(k_diffusion, name) for name in names}

    def of_one_row(make: Callable[..., Any], x: Tensor, *args: Any, **kwargs: Any) -> Any:
        noise = make(x[:1], *args, **kwargs)
        return lambda *sigmas: noise(*sigmas).repeat_interleave(len(x), dim=0)

    try:
        for name, make in makers.items():
            setattr(k_diffusion, name, functools.partial(of_one_row, make))
        yield
    finally:
        for name, make in makers.items():
            setattr(k_diffusion, name, make)
