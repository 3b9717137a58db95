"""Reference latents from diffusers for comparing hosts: `python -m demo.diffusers_host.agreement FILE`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file

CFG = 5.0


@dataclass(frozen=True)
class Case:
    """One sampling that both hosts run; without windows the plan does not control the edit."""

    name: str
    source: str
    edit: str
    seed: int = 1
    steps: int = 8
    width: int = 256
    height: int = 256
    samples: int = 1
    controlled: bool = True
    word_windows: str = ""
    layers: str = "all"


CASES = (
    Case("plain", "a red circle on grass", "a red house on grass", controlled=False),
    Case("swap", "a red circle and a blue star on grass", "a red house and a blue star on grass"),
    Case("phrase", "a green tree at night", "a green sailing boat on a brick wall", seed=2),
    Case("words", "a red ring in water", "a yellow heart in water", seed=3, word_windows="heart: 0.3"),
    Case("layers", "a red ring in water", "a red moon in water", layers="output, middle"),
    Case("wide", "a purple triangle on sand", "a pink mushroom on sand", width=384, height=192, samples=2),
)


def write(path: Path) -> None:
    """Write the noise [B, 3, h, w], the latents [2·B, 3, h, w] and the sigmas of every case."""
    from p2p_core.architecture.layers import LayerFilter
    from p2p_core.edits.steps import TokenEdit
    from p2p_core.plan import EditPlan
    from p2p_core.words.windows import parse_word_windows

    from .pipeline import load, schedule, start_noise

    pipeline = load()
    tensors = {}
    for case in CASES:
        prompts, noise = (
            pipeline.prompts(case.source, case.edit),
            start_noise(case.seed, case.width, case.height, case.samples),
        )
        edit = TokenEdit(words=parse_word_windows(case.word_windows), layers=LayerFilter(case.layers))
        plan = EditPlan(prompts).then(prompts, edit) if case.controlled else None
        tensors[f"{case.name}.noise"] = noise
        tensors[f"{case.name}.sigmas"] = schedule(case.steps)[1]
        tensors[f"{case.name}.latents"] = pipeline.sample(prompts.texts, noise, case.steps, CFG, plan)
    save_file(tensors, path)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
