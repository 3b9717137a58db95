"""PIE-Bench through ComfyUI: Direct Inversion's table for your checkpoint.

    python -m tools.comfyui.run_hosts --module benchmarks.real.pie_bench --data FOLDER --checkpoint FILE

Results are stored in `--out`, so an interrupted run resumes where it stopped. Steps, guidance and windows are
those of the published run. `--checkpoint demo` uses the bundled model, to try the command.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from p2p_core.errors import P2PError

from ..host.in_comfy import start
from .fidelity import decibels, fidelity
from .pie_set import Item, read_set
from .real_report import edits_table
from .real_ways import NOISE, TARGET, WAYS, Way


@dataclass(frozen=True)
class Settings:
    """Settings of the sampling. cross, own: ends of the cross- and self-attention windows."""

    steps: int
    cfg: float
    cross: float
    own: float
    null_text: bool


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", required=True, help="a file with MODEL, CLIP and VAE, or `demo`")
    parser.add_argument("--edits", type=int, help="only this many edits, spread over the set")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--cfg", type=float, default=7.5)
    parser.add_argument("--cross", type=float, default=0.4)
    parser.add_argument("--self", type=float, default=0.6, dest="own")
    parser.add_argument("--null-text", action="store_true", help="include null-text inversion, which is slow")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("out/pie_bench"))
    chosen = parser.parse_args()
    settings = Settings(chosen.steps, chosen.cfg, chosen.cross, chosen.own, chosen.null_text)
    try:
        items = read_set(chosen.data)
    except P2PError as error:
        print(f"pie_bench: {error}", file=sys.stderr)
        return 1
    items = items[:: max(1, len(items) // chosen.edits)][: chosen.edits] if chosen.edits else items
    bench = Bench(start(cpu=chosen.cpu), chosen.checkpoint, settings)
    made_by = "-".join(f"{value:g}" for value in (settings.steps, settings.cfg, settings.cross, settings.own))
    folder = chosen.out / f"{Path(chosen.checkpoint).stem}-{made_by}"
    folder.mkdir(parents=True, exist_ok=True)
    results = [bench.result(item, folder / f"{item.key}.json") for item in items]
    table = edits_table(results, list(WAYS))
    (folder / "table.md").write_text(table + "\n", "utf-8")
    print(f"{len(results)} edits, {settings}. Time in seconds.\n\n{table}")
    return 0


class Bench:
    """A checkpoint in ComfyUI and the pack's nodes."""

    def __init__(self, pack: Any, checkpoint: str, settings: Settings) -> None:
        self.pack, self.settings = pack, settings
        if checkpoint == "demo":
            self.model, self.clip, self.vae = self.node("demo.demo_model", "P2PDemoModel")
        else:
            import comfy.sd

            self.model, self.clip, self.vae, *_ = comfy.sd.load_checkpoint_guess_config(checkpoint)

    def node(self, file: str, name: str, **inputs: Any) -> tuple[Any, ...]:
        """The outputs of a node; missing inputs get their defaults."""
        import torch

        node = getattr(import_module(f"{self.pack.__name__}.nodes.{file}"), name)
        sockets = node.GET_SCHEMA().inputs
        defaults = {s.id: s.default for s in sockets if getattr(s, "default", None) is not None}
        with torch.inference_mode():
            return tuple(node.execute(**{**defaults, **inputs}).args)

    def result(self, item: Item, file: Path) -> dict[str, Any]:
        """The stored result, computed if it is missing."""
        if file.exists():
            known = json.loads(file.read_text("utf-8"))
            if "null-text inversion" in known["ways"] or not self.settings.null_text:
                return known
        result = {"index": item.key, "source": item.source, "edit": item.edit, "ways": self.ways(item)}
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(result), "utf-8")
        draft.replace(file)
        print(item.key, item.source, "→", item.edit, flush=True)
        return result

    def ways(self, item: Item) -> dict[str, Any]:
        """The measures of one picture's edit by every method."""
        picture = opened(item.picture)
        latent = self.encoded(picture)
        prompts, positive = self.node(
            "edit.prompt_pair", "P2PPromptPair", clip=self.clip, source=item.source, edit=item.edit
        )
        negative = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(""))
        common = {"model": self.model, "source": positive, "steps": self.settings.steps}
        trajectories: dict[str, tuple[Any, float]] = {}
        for method in (TARGET, "fixed point", NOISE):
            inputs = {**common, "latent": {"samples": latent}, "method": method}
            trajectories[method] = timed(self.node, "real.invert", "P2PInvert", **inputs)
        if self.settings.null_text:
            (start,), before = trajectories[TARGET]
            search = {"trajectory": start, "negative": negative, "cfg": self.settings.cfg}
            inputs = {"model": self.model, "source": positive, **search}
            found, seconds = timed(self.node, "real.null_text", "P2PNullText", **inputs)
            trajectories["null text"] = found, before + seconds
        scores: dict[str, Any] = {}
        kept = 1 - item.mask(picture.shape[-2], picture.shape[-1])
        for name, way in WAYS.items():
            if way.method not in trajectories or (way.blend and not item.words[0]):
                continue
            (trajectory,), before = trajectories[way.method]
            inputs = {"model": self.model, "prompts": prompts, "trajectory": trajectory, **widgets(way)}
            model, latents = self.node("real.real_image", "P2PRealImage", **inputs)
            windows = {"cross_end": self.settings.cross, "self_end": self.settings.own}
            model = self.node("edit.prompt_edit", "P2PPromptEdit", model=model, prompts=prompts, **windows)[0]
            if way.blend:
                words = dict(zip(("source_words", "edit_words"), map("\n".join, item.words), strict=True))
                blend = self.node("edit.local_blend", "P2PLocalBlend", model=model, prompts=prompts, **words)
                model = blend[0]
            sampler = "euler_ancestral" if way.method == NOISE else "euler"
            rows, seconds = timed(self.sampled, model, positive, negative, latents["samples"], sampler)
            source, edited = self.decoded(rows)
            inside = (edited - picture).abs()[:, kept == 0]
            scores[name] = {
                **asdict(fidelity(picture, edited, kept)),
                "source": decibels(float((source - picture).square().mean())),
                "inside": float(inside.mean()),
                "time": before + seconds,
            }
        return scores

    def encoded(self, picture: Any) -> Any:
        import torch

        with torch.inference_mode():
            return self.vae.encode(picture.movedim(0, -1)[None])

    def decoded(self, rows: Any) -> Any:
        """[R, 3, H, W] in 0..1, on the CPU."""
        import torch

        with torch.inference_mode():
            return self.vae.decode(rows).movedim(-1, 1).float().cpu().clamp(0, 1)

    def sampled(self, model: Any, positive: Any, negative: Any, latent: Any, sampler: str) -> Any:
        import comfy.sample
        import torch

        settings = (self.settings.steps, self.settings.cfg, sampler, "normal", positive, negative, latent)
        with torch.inference_mode():
            return comfy.sample.sample(
                model, torch.zeros_like(latent), *settings, denoise=1.0, disable_pbar=True, seed=0
            )


def widgets(way: Way) -> dict[str, Any]:
    """The options of a method under the names of Real Image's widgets."""
    return {"proximal" if name == "quantile" else name: value for name, value in way.real.items()}


def opened(file: Path) -> Any:
    """A picture [3, H, W] in 0..1, cropped to sides that are multiples of 8."""
    import numpy as np
    import torch
    from PIL import Image

    with Image.open(file) as picture:
        pixels = np.array(picture.convert("RGB"), dtype=np.float32) / 255
    height, width = (side // 8 * 8 for side in pixels.shape[:2])
    return torch.from_numpy(pixels[:height, :width]).movedim(-1, 0)


def timed(run: Any, *args: Any, **kwargs: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    return run(*args, **kwargs), time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
