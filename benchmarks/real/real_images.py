"""Real pictures with known ground truth: `make bench-real`, or `python -m benchmarks.real.real_images`.

Scenes are rendered by a script and not by the model, so they are real pictures to it. Each is encoded,
inverted by several methods and edited; the checker says whether the edit happened, fidelity.py how far the
rest changed. Decoded latents are compared, so the autoencoder's own loss is the same for all.

Results are stored in `--out`, so an interrupted run resumes where it stopped. The tables go into
docs/real_images.md, pictures into docs/pictures/real_images.png.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from torch import Tensor

from demo.diffusers_host.inverting import NOISE, edit_pictures, encoded, inverted, with_null_texts
from demo.diffusers_host.pipeline import DemoPipeline, load, start_noise
from demo.model.shape import WEIGHTS
from demo.training.checker import Checker, to_tensor
from p2p_core.edits.steps import TokenEdit
from p2p_core.errors import P2PError
from p2p_core.maps.blending import Blend
from p2p_core.maps.store import MapStore
from p2p_core.plan import EditPlan
from p2p_core.real.null_text import NullText
from p2p_core.real.pinning import RealImage
from p2p_core.real.trajectory import Trajectory

from ..quality.edits import TYPES, Edit, draw_edit
from ..quality.measures import measured, shows, to_stay
from ..shared import resumable
from ..shared.page import fill
from ..shared.resumable import checksum, file_of, save_strip
from .fidelity import decibels, fidelity
from .real_report import edits_table, reconstruction_table, sheet
from .real_ways import TARGET, WAYS, Way

ROOT = Path(__file__).resolve().parents[2]
CFG, STEPS, EDITS = 5.0, 12, 200
KINDS = [name for name in TYPES if "weight" not in name]
NULL_EVERY, SHOWN = 8, 6  # null-text inversion takes as long as everything else; edits shown in the picture
INVERSIONS: Mapping[str, Callable[..., Trajectory]] = {
    "euler": partial(inverted, method="euler"),
    TARGET: partial(inverted, method=TARGET),
    "fixed point": partial(inverted, method="fixed point", iterations=3),
    "midpoint": partial(inverted, method="midpoint"),
    NOISE: partial(inverted, method=NOISE),
}


@dataclass(frozen=True)
class Settings:
    """Everything a result depends on, apart from its index."""

    seed: int
    steps: int
    weights: Path
    folder: Path


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench-real", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edits", type=int, default=EDITS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--workers", type=int, default=2, help="processes, with one thread each")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "real_images")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    chosen = parser.parse_args()
    folder = chosen.out / f"{chosen.seed}-{chosen.steps}-{_checksum(chosen.weights):08x}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(chosen.seed, chosen.steps, chosen.weights, folder)
    try:
        results = run_all(settings, chosen.edits, chosen.workers)
    except P2PError as error:
        print(f"bench-real: {error}", file=sys.stderr)
        return 1
    line = f"{len(results)} edits, seed {chosen.seed}, {chosen.steps} steps, guidance {CFG:g}."
    parts = {
        "reconstruction": f"{line}\n\n{reconstruction_table(results)}",
        "edits": f"{line}\n\n{edits_table(results, list(WAYS))}",
    }
    fill(chosen.docs / "real_images.md", parts)
    strips = [strip for i in range(SHOWN) if (strip := file_of(folder, i, ".png")).exists()]
    sheet(results, strips, list(WAYS)).save(chosen.docs / "pictures" / "real_images.png", optimize=True)
    print("\n\n".join(parts.values()))
    return 0


def _checksum(weights: Path) -> int:
    """A checksum of everything a result depends on."""
    parts = (
        "benchmarks/quality/edits.py",
        "benchmarks/quality/measures.py",
        "benchmarks/real/*.py",
        "p2p_core/**/*.py",
        "demo/diffusers_host/inverting.py",
        "demo/diffusers_host/pipeline.py",
        "demo/world/scenes.py",
    )
    return checksum([weights, *sorted(file for part in parts for file in ROOT.glob(part))])


# Running


def run_all(settings: Settings, count: int, workers: int) -> list[dict[str, Any]]:
    """The results of edits 0..count − 1; `workers` processes compute the missing ones."""
    if count < 1 or workers < 1:
        raise P2PError("at least one edit and one worker", f"{count} edits, {workers} workers", "Raise them.")
    return resumable.run_all(partial(run_edit, settings), settings.folder, count, workers)


@lru_cache(maxsize=1)
def _parts(weights: Path) -> tuple[DemoPipeline, Checker]:
    return load(weights), Checker.load()


def run_edit(settings: Settings, index: int) -> dict[str, Any]:
    """One picture inverted and edited by every method, as stored in the JSON file."""
    pipe, checker = _parts(settings.weights)
    edit, latent, picture = find_picture(pipe, checker, settings, index)
    found = shows(edit, checker(picture[None] * 2 - 1)[0])
    assert found is not None
    _, pair_time = timed(generated_pair, pipe, edit, settings.steps)
    trajectories, recorded = {}, {}
    for name, invert in INVERSIONS.items():
        trajectories[name], seconds = timed(invert, pipe, latent, edit.texts[0], settings.steps)
        recorded[name] = {**reconstruction(pipe, trajectories[name], picture), "time": seconds / pair_time}
    times = {name: recorded[name]["time"] for name in INVERSIONS}
    if index % NULL_EVERY == 0:
        start = trajectories[TARGET]
        trajectories["null text"], seconds = timed(with_null_texts, pipe, start, NullText(CFG))
        times["null text"] = times[TARGET] + seconds / pair_time
    scores, pictures = {}, [picture]
    kept = to_stay(edit, found, picture.shape[-1]).float()
    for name, way in WAYS.items():
        if way.method not in trajectories or (way.blend and edit.index is None):
            continue
        plan = planned(pipe, edit, way, trajectories[way.method])
        rows, seconds = timed(edit_pictures, pipe, edit.texts, plan, CFG)
        source, edited = pipe.decode(rows)
        verdict = checker(edited[None] * 2 - 1)[0]
        scores[name] = {
            **asdict(measured(edit, found, picture, edited, verdict)),
            **asdict(fidelity(picture, edited, kept)),
            "source": decibels(float((source - picture).square().mean())),
            "time": times[way.method] + seconds / pair_time,
        }
        pictures.append(edited)
    if index < SHOWN:
        save_strip(pictures, file_of(settings.folder, index, ".png"))
    texts = {"source": edit.texts[0], "edit": edit.texts[1]}
    return {"index": index, "type": edit.type, **texts, "inversions": recorded, "ways": scores}


def find_picture(
    pipe: DemoPipeline, checker: Checker, settings: Settings, index: int
) -> tuple[Edit, Tensor, Tensor]:
    """An edit of a rendered scene, its latent [1, 3, 32, 32] and the decoded latent [3, 256, 256].

    Repeated until the checker recognises the scene in the decoded latent.
    """
    for tried in range(100):
        edit = draw_edit(KINDS[index % len(KINDS)], random.Random(f"real/{settings.seed}/{index}/{tried}"))
        latent = encoded(pipe, to_tensor(edit.source)[None].add(1).div(2))
        picture = pipe.decode(latent)[0]
        if shows(edit, checker(picture[None] * 2 - 1)[0]) is not None:
            return edit, latent, picture
    raise P2PError("scenes that the checker can read", "none of 100", "Pass trained weights with --weights.")


def timed(run: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """The result and the CPU time of this thread, which other processes do not affect."""
    started = time.thread_time()
    return run(*args), time.thread_time() - started


def generated_pair(pipe: DemoPipeline, edit: Edit, steps: int) -> Tensor:
    """The same edit of a generated picture, as the reference for times."""
    prompts = pipe.prompts(*edit.texts)
    plan = EditPlan(prompts).then(prompts, TokenEdit("edit"))
    return pipe.sample(edit.texts, start_noise(0), steps, CFG, plan)


def planned(pipe: DemoPipeline, edit: Edit, way: Way, trajectory: Trajectory) -> EditPlan:
    prompts = pipe.prompts(*edit.texts)
    plan = EditPlan(prompts).then(prompts, TokenEdit("edit")).then(prompts, RealImage(trajectory, **way.real))
    return plan.then(prompts, Blend(*edit.blend, (), MapStore())) if way.blend else plan


def reconstruction(pipe: DemoPipeline, trajectory: Trajectory, picture: Tensor) -> dict[str, float]:
    """How well latent and picture come back without guidance and without pinning, PSNR in dB."""
    prompts = pipe.prompts(trajectory.text)
    plan = EditPlan(prompts).then(prompts, RealImage(trajectory, pin=False))
    rows = edit_pictures(pipe, [trajectory.text], plan, 1.0)
    span = float(trajectory.picture.max() - trajectory.picture.min())
    errors = {
        "latent": float(((rows - trajectory.picture) / span).square().mean()),
        "picture": float((pipe.decode(rows)[0] - picture).square().mean()),
    }
    return {name: decibels(error) for name, error in errors.items()}


if __name__ == "__main__":
    sys.exit(main())
