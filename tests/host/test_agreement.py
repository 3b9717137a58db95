"""The two hosts agree: the same weights, noise, timesteps and prompts give the same latents."""

from __future__ import annotations

import os
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from demo.diffusers_host.agreement import CASES, CFG, Case

ROOT = Path(__file__).resolve().parents[2]
OTHER_HOST = ROOT / ".venv" / "bin" / "python"

pytestmark = [pytest.mark.real_host, pytest.mark.parity]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The results of diffusers for the cases, in the pack's own environment."""
    if not OTHER_HOST.exists():
        pytest.skip("the environment of the other host is missing; run `make test`")
    path = tmp_path_factory.mktemp("agreement") / "reference.safetensors"
    own = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    environ = {name: value for name, value in os.environ.items() if name not in own}
    subprocess.run(
        [OTHER_HOST, "-m", "demo.diffusers_host.agreement", path],
        cwd=ROOT,
        env=environ,
        check=True,
        timeout=600,
    )
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_latents_agree(pack, case: Case, reference):
    import comfy.sample
    import comfy.samplers
    import torch

    def node(module: str, name: str):
        return getattr(import_module(f"{pack.__name__}.nodes.{module}"), name)

    model, clip, _ = node("demo.demo_model", "P2PDemoModel").execute().args
    prompts, positive = node("edit.prompt_pair", "P2PPromptPair").execute(clip, case.source, case.edit).args
    windows = (0.0, 0.4, 0.0, 0.6) if case.controlled else (0.0, 0.0, 0.0, 0.0)
    swap = node("edit.word_swap", "P2PWordSwap").execute
    (model,) = swap(model, prompts, *windows, case.word_windows, case.layers).args
    negative = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    noise, sigmas, expected = (reference[f"{case.name}.{part}"] for part in ("noise", "sigmas", "latents"))
    sampler = comfy.samplers.sampler_object("euler")
    with torch.inference_mode():
        latents = comfy.sample.sample_custom(
            model, noise, CFG, sampler, sigmas, positive, negative, torch.zeros_like(noise), disable_pbar=True
        )
    assert (latents - expected).abs().max() < 1e-3
    assert latents.std() > 0.1
