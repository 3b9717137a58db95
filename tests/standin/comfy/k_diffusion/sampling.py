"""Sampler functions: from x down the sigmas by a model that denoises."""

import torch


def default_noise_sampler(x, seed=None):
    generator = torch.Generator().manual_seed(seed)
    return lambda sigma, sigma_next: torch.randn(x.shape, generator=generator)


def BrownianTreeNoiseSampler(x, sigma_min, sigma_max, seed=None, cpu=False):
    return default_noise_sampler(x, seed + 1)


def sample_euler(model, x, sigmas, extra_args=None, callback=None, disable=None, eta=0.0, noise_sampler=None):
    for sigma, after in zip(sigmas, sigmas[1:], strict=False):
        denoised = model(x, sigma * x.new_ones(x.shape[0]), **extra_args)
        down = (1 - eta) * after + eta * after**2 / sigma
        x = denoised + (x - denoised) * down / sigma
        if eta and after > 0:
            x = x + noise_sampler(sigma, after) * (after**2 - down**2).sqrt()
    return x


def sample_euler_ancestral(model, x, sigmas, extra_args=None, noise_sampler=None):
    noise_sampler = noise_sampler or default_noise_sampler(x, seed=extra_args["seed"])
    return sample_euler(model, x, sigmas, extra_args, eta=1.0, noise_sampler=noise_sampler)


def sample_dpmpp_sde(model, x, sigmas, extra_args=None, noise_sampler=None):
    noise_sampler = noise_sampler or BrownianTreeNoiseSampler(
        x, sigmas[-2], sigmas[0], seed=extra_args["seed"]
    )
    return sample_euler(model, x, sigmas, extra_args, eta=1.0, noise_sampler=noise_sampler)
