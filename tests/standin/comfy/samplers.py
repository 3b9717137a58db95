"""A sampling: the guider, its model calls, and the sampler around them."""

import uuid

import torch

from .conds import CONDCrossAttn
from .model_patcher import copied
from .patcher_extension import WrappersMP, inside_wrappers


class Sampler:
    pass


class KSampler:
    SCHEDULERS = ("normal", "simple")


def calculate_sigmas(model_sampling, scheduler, steps):
    return model_sampling.steps(steps)


class KSamplerX0Inpaint:
    """The model as called by sampler functions; outside the mask it keeps the latent."""

    def __init__(self, model, noise, latent_image):
        self.inner_model, self.noise, self.latent_image = model, noise, latent_image

    def __call__(self, x, sigma, denoise_mask, model_options, seed=None):
        if denoise_mask is None:
            return self.inner_model(x, sigma, model_options=model_options, seed=seed)
        kept = 1 - denoise_mask
        x = x * denoise_mask + (self.latent_image + self.noise * sigma[:, None, None, None]) * kept
        out = self.inner_model(x, sigma, model_options=model_options, seed=seed)
        return out * denoise_mask + self.latent_image * kept


class KSAMPLER(Sampler):
    def __init__(self, sampler_function, extra_options, inpaint_options):
        self.sampler_function = sampler_function
        self.extra_options, self.inpaint_options = extra_options, inpaint_options

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image, denoise_mask, *rest):
        model, start = KSamplerX0Inpaint(model_wrap, noise, latent_image), noise * sigmas[0] + latent_image
        extra_args["denoise_mask"] = denoise_mask
        return self.sampler_function(model, start, sigmas, extra_args=extra_args, **self.extra_options)


class CFGGuider:
    def __init__(self, model_patcher, positive, negative, cfg):
        self.inner_model = model_patcher.model
        self.model_patcher, self.model_options, self.cfg = model_patcher, model_patcher.model_options, cfg
        self.original_conds = {"positive": entries(positive), "negative": entries(negative)}

    def sample(self, noise, latent_image, sampler, sigmas, denoise_mask=None, seed=None):
        self.conds = {name: [dict(entry) for entry in side] for name, side in self.original_conds.items()}
        own = self.model_options
        try:
            transformer = {**copied(own["transformer_options"]), "wrappers": self.model_patcher.wrappers}
            self.model_options = {**own, "transformer_options": transformer}
            run = inside_wrappers(WrappersMP.OUTER_SAMPLE, self.outer_sample, self, self.model_options)
            return run(noise, latent_image, sampler, sigmas, denoise_mask, None, True, seed)
        finally:
            self.model_options = own

    def outer_sample(self, noise, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed):
        for entry in self.conds["positive"] + self.conds["negative"]:
            entry["model_conds"] = {**entry["model_conds"], "c_crossattn": CONDCrossAttn(entry["cross_attn"])}
        if latent_image.any():
            latent_image = self.inner_model.process_latent_in(latent_image)
        transformer = {**copied(self.model_options["transformer_options"]), "sample_sigmas": sigmas}
        options = {**self.model_options, "transformer_options": transformer}
        run = inside_wrappers(WrappersMP.SAMPLER_SAMPLE, sampler.sample, sampler, options)
        extra_args = {"model_options": options, "seed": seed}
        rows = run(self, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar)
        return self.inner_model.process_latent_out(rows)

    def __call__(self, x, timestep, model_options=None, seed=None):
        run = inside_wrappers(WrappersMP.PREDICT_NOISE, self.predict_noise, self, self.model_options)
        return run(x, timestep, model_options, seed)

    def predict_noise(self, x, timestep, model_options, seed=None):
        conds = [self.conds["positive"], self.conds["negative"] if self.cfg != 1 else None]
        cond, uncond = calc_cond_batch(self.model_patcher.model, conds, x, timestep, model_options)
        return uncond + (cond - uncond) * self.cfg


def entries(conditioning):
    return [{"model_conds": {}, **more, "cross_attn": c, "uuid": uuid.uuid4()} for c, more in conditioning]


def calc_cond_batch(model, conds, x, timestep, model_options):
    run = inside_wrappers(WrappersMP.CALC_COND_BATCH, _calc_cond_batch, None, model_options)
    return run(model, conds, x, timestep, model_options)


def _calc_cond_batch(model, conds, x, timestep, model_options):
    """A prediction for each side. Compatible entries share one model call, the last one first."""
    waiting = [
        (i, entry["uuid"], ready(entry, len(x))) for i, side in enumerate(conds) for entry in side or ()
    ]
    sums = [torch.zeros_like(x) for _ in conds]
    while waiting:
        first = waiting[0][2]
        call = [chunk for chunk in waiting if fit(chunk[2], first)][::-1]
        waiting = [chunk for chunk in waiting if chunk not in call]
        which, uuids, parts = (list(column) for column in zip(*call, strict=True))
        c = {key: parts[0][key].concat([part[key] for part in parts[1:]]) for key in first}
        of_call = {"cond_or_uncond": which, "uuids": uuids, "sigmas": timestep}
        c["transformer_options"] = {**model_options["transformer_options"], **of_call}
        output = model.apply_model(torch.cat([x] * len(call)), torch.cat([timestep] * len(call)), **c)
        for i, part in zip(which, output.chunk(len(call)), strict=True):
            sums[i] += part / len(conds[i])
    return sums


def ready(entry, batch):
    return {key: cond.process_cond(batch_size=batch) for key, cond in entry["model_conds"].items()}


def fit(a, b):
    return a.keys() == b.keys() and all(a[key].can_concat(b[key]) for key in a)
