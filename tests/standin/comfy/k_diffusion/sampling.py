"""Sampler functions: from x down the sigmas with a denoising model."""

from itertools import pairwise

import torch


def default_noise_sampler(x, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda sigma, sigma_next: torch.randn(x.shape, generator=generator)


BrownianTreeNoiseSampler = None  # no sampler here draws from one


def sample_euler(model, x, sigmas, extra_args, callback=None, disable=None):
    return steps(model, x, sigmas, extra_args, None)


def sample_euler_ancestral(model, x, sigmas, extra_args, noise_sampler=None):
    return steps(model, x, sigmas, extra_args, noise_sampler or default_noise_sampler(x, extra_args["seed"]))


def steps(model, x, sigmas, extra_args, draw):
    for sigma, after in pairwise(sigmas):
        denoised = model(x, sigma * x.new_ones(x.shape[0]), **extra_args)
        down = after**2 / sigma if draw else after
        x = denoised + (x - denoised) * down / sigma
        x = x + draw(sigma, after) * (after**2 - down**2).sqrt() if draw and after > 0 else x
    return x
