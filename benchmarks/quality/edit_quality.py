"""Edit quality with known ground truth: `make bench-quality`, or `python -m benchmarks.quality.edit_quality`.

Edits of nine types are drawn from a seed. For each, candidates are sampled until the source picture shows its
caption. It is edited by several methods from the same noise, and the checker and the pixels show the result.
`--curve windows`, `--curve presets` and `--curve blends` do the same over settings of the windows, over the
presets of a U-Net, and over settings of local blend.

Results are stored in `--out` under the seed, the steps and a checksum of weights and code, so an interrupted
run resumes where it stopped. Tables go into docs/edit_quality.md, pictures into docs/pictures/.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from demo.diffusers_host.pipeline import DemoPipeline, load, start_noise
from demo.model.shape import WEIGHTS
from demo.training.checker import Checker, Found
from p2p_core.errors import P2PError

from ..shared import resumable
from ..shared.page import fill
from ..shared.resumable import checksum, file_of, save_strip
from .edits import TYPES, Edit, draw_edit
from .measures import measured, shows
from .report import (
    blends_table,
    contact_sheet,
    methods_table,
    presets_table,
    settings_line,
    types_table,
    windows_plot,
    windows_table,
)
from .side_by_side import Way, sample_ways
from .ways import CONTESTS

ROOT = Path(__file__).resolve().parents[2]
CFG = 5.0
STEPS = 15  # the windows end after 6, 9 and 12 calls with any rounding, so all methods get the same
CANDIDATES = 300
SHOWN = 2  # edits of each type on the contact sheet


@dataclass(frozen=True)
class Settings:
    """Everything a result depends on, apart from its index."""

    contest: str
    seed: int
    steps: int
    weights: Path
    folder: Path


@dataclass(frozen=True)
class Candidate:
    """A source picture that shows its caption.

    things: as the checker sees them; tried: the number of candidates it took.
    """

    edit: Edit
    noise: int
    things: tuple[Found, ...]
    tried: int


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench-quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edits", type=int, help="number of edits; 306 by default, about 60 for a curve")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--workers", type=int, default=2, help="processes, with one thread each")
    parser.add_argument(
        "--curve", choices=["windows", "presets", "blends"], help="measure settings instead of methods"
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "edit_quality")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    chosen = parser.parse_args()
    contest = chosen.curve or "methods"
    count = CONTESTS[contest].edits if chosen.edits is None else chosen.edits
    folder = chosen.out / f"{contest}-{chosen.seed}-{chosen.steps}-{_checksum(chosen.weights):08x}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(contest, chosen.seed, chosen.steps, chosen.weights, folder)
    try:
        results = run_all(settings, count, chosen.workers)
        (chosen.out / f"{contest}.json").write_text(json.dumps(results, indent=1), "utf-8")
        write_report(settings, results, chosen.docs)
    except P2PError as error:
        print(f"bench-quality: {error}", file=sys.stderr)
        return 1
    print(f"Wrote every edit to {chosen.out / contest}.json, and tables and pictures to {chosen.docs}.")
    return 0


def write_report(settings: Settings, results: list[dict[str, Any]], docs: Path) -> None:
    """Print the tables, write them into the document, draw the pictures."""
    line = settings_line(results, settings.seed, settings.steps, CFG)
    if settings.contest == "methods":
        parts = {"methods": f"{line}\n\n{methods_table(results)}", "types": types_table(results)}
        strips = {i: file for i in range(SHOWN * len(TYPES)) if (file := _strip(settings, i)).exists()}
        picture = contact_sheet(results, strips)
        picture.save(docs / "pictures" / "edit_quality.png", optimize=True)
    elif settings.contest == "windows":
        parts = {"windows": f"{line}\n\n{windows_table(results)}"}
        windows_plot(results).save(docs / "pictures" / "edit_quality_windows.png", optimize=True)
    elif settings.contest == "presets":
        parts = {"presets": f"{line}\n\n{presets_table(results)}"}
    else:
        parts = {"blends": f"{line}\n\n{blends_table(results)}"}
    print("\n\n".join(parts.values()))
    fill(docs / "edit_quality.md", parts)


def _checksum(weights: Path) -> int:
    """A checksum of everything a result depends on."""
    names = (
        "p2p_core/**/*.py",
        "demo/**/*.py",
        "demo/model/checker.safetensors",
        "benchmarks/reference/paper_controller.py",
    )
    own = [Path(__file__).with_name(f"{n}.py") for n in ("edits", "measures", "side_by_side", "ways")]
    return checksum([weights, *own, *sorted(file for name in names for file in ROOT.glob(name))])


# Running


def run_all(settings: Settings, count: int, workers: int) -> list[dict[str, Any]]:
    """The results of edits 0..count − 1; `workers` processes compute the missing ones."""
    types = CONTESTS[settings.contest].types
    if count < len(types) or workers < 1:
        raise P2PError(
            f"at least {len(types)} edits, one of each type, and 1 worker",
            f"{count} edits, {workers} workers",
            "Raise --edits or --workers.",
        )
    return resumable.run_all(partial(run_edit, settings), settings.folder, count, workers)


def _strip(settings: Settings, index: int) -> Path:
    return file_of(settings.folder, index, ".png")


@lru_cache(maxsize=1)
def _parts(weights: Path) -> tuple[DemoPipeline, Checker]:
    return load(weights), Checker.load()


def run_edit(settings: Settings, index: int) -> dict[str, Any]:
    """One edit by every method of the contest, as stored in the JSON file."""
    pipe, checker = _parts(settings.weights)
    found = find_candidate(pipe, checker, settings, index)
    edit = found.edit
    ways: Mapping[str, Way] = CONTESTS[settings.contest].ways(edit, pipe, settings.steps)
    noise = start_noise(found.noise)
    latents = sample_ways(pipe, edit.texts, noise, settings.steps, CFG, list(ways.values()))
    source, *pictures = pipe.decode(latents)
    verdicts = checker(torch.stack(pictures) * 2 - 1)
    scores = {
        name: asdict(measured(edit, found.things, source, picture, verdict))
        for name, picture, verdict in zip(ways, pictures, verdicts, strict=True)
    }
    if settings.contest == "methods" and index < SHOWN * len(TYPES):
        save_strip([source, *pictures], _strip(settings, index))
    return {
        "index": index,
        "type": edit.type,
        "source": edit.texts[0],
        "edit": edit.texts[1],
        "weights": {w.word: w.weight for w in edit.weights},
        "noise": found.noise,
        "candidates": found.tried,
        "things": [asdict(thing) for thing in found.things],
        "edited": edit.index,
        "ways": scores,
    }


def find_candidate(
    pipe: DemoPipeline, checker: Checker, settings: Settings, index: int, most: int = CANDIDATES
) -> Candidate:
    """Sample edits and noise until the source picture shows its caption but not yet the edit."""
    types = CONTESTS[settings.contest].types
    type_name = types[index % len(types)]
    for tried in range(1, most + 1):
        rng = random.Random(f"{settings.seed}/{index}/{tried}")
        edit, noise = draw_edit(type_name, rng), rng.getrandbits(31)
        latents = pipe.sample([edit.texts[0]], start_noise(noise), settings.steps, CFG)
        things = shows(edit, checker(pipe.decode(latents) * 2 - 1)[0])
        if things is not None:
            return Candidate(edit, noise, things, tried)
    raise P2PError(
        "a demo model that draws its captions",
        f"{most} pictures for {type_name!r} that do not show them",
        "Pass trained weights with --weights.",
    )


if __name__ == "__main__":
    sys.exit(main())
