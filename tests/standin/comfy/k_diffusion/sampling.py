"""Sampler functions: from x down the sigmas by a model that denoises."""

from itertools import pairwise

import torch


def default_noise_sampler(x, seed=None):
    generator = torch.Generator().manual_seed(seed)
    return lambda sigma, sigma_next: torch.randn(x.shape, generator=generator)


BrownianTreeNoiseSampler = None  # no sampler here draws from one


def sample_euler(model, x, sigmas, extra_args=None, callback=None, disable=None, eta=0.0, noise_sampler=None):
    for sigma, after in pairwise(sigmas):
        denoised = model(x, sigma * x.new_ones(x.shape[0]), **extra_args)
        down = (1 - eta) * after + eta * after**2 / sigma
        x = denoised + (x - denoised) * down / sigma
        if eta and after > 0:
            x = x + noise_sampler(sigma, after) * (after**2 - down**2).sqrt()
    return x


def sample_euler_ancestral(model, x, sigmas, extra_args=None, noise_sampler=None):
    noise_sampler = noise_sampler or default_noise_sampler(x, extra_args["seed"])
    return sample_euler(model, x, sigmas, extra_args, eta=1.0, noise_sampler=noise_sampler)
