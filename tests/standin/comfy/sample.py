"""A sampling with a custom sampler."""

from .samplers import CFGGuider


def fix_empty_latent_channels(model, latent):
    return latent


def sample_custom(
    model, noise, cfg, sampler, sigmas, positive, negative, latent, disable_pbar=False, seed=None
):  # fmt: skip
    guider = CFGGuider(model, positive, negative, cfg)
    return guider.sample(noise, latent, sampler, sigmas, seed=seed)
