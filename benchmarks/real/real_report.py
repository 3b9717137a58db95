"""Tables and sheet of edited real pictures, for real_images.py and pie_bench.py."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from demo.show.sheet import FAINT, INK, MARGIN, PAPER

from ..shared.table import markdown

Result = Mapping[str, Any]
Score = Mapping[str, Any]
TILE, WORDS = 132, 40
ROUNDING = 120.0  # dB: the decoder's rounding between batches of different sizes


def mean(scores: Sequence[Score], name: str) -> float:
    return fmean(float(score[name]) for score in scores)


def overall_psnr(scores: Sequence[Score]) -> float:
    """The PSNR of the mean square over all pictures, in dB."""
    mse = mean(scores, "mse")
    return -10 * math.log10(mse) if mse else math.inf


def decibels(values: Sequence[float]) -> str:
    """The mean, or "exact" if all are equal apart from the decoder's rounding."""
    return "exact" if min(values) > ROUNDING else f"{fmean(min(v, ROUNDING) for v in values):.1f} dB"


def reconstruction_table(results: Sequence[Result]) -> str:
    """One row per inversion: PSNR of latent and picture, time."""
    rows: list[Sequence[str]] = []
    for name in results[0]["inversions"]:
        scores = [r["inversions"][name] for r in results]
        parts = [decibels([s[part] for s in scores]) for part in ("latent", "picture")]
        rows.append((name, *parts, f"{mean(scores, 'time'):.2f}"))
    return markdown(("inversion", "PSNR of the latent", "PSNR of the picture", "time"), rows)


def edits_table(results: Sequence[Result], ways: Sequence[str]) -> str:
    """Direct Inversion's table, one row per method. Success only if something can judge it."""
    judged = any("done" in score for r in results for score in r["ways"].values())
    head = ["method", "edits", "source", "structure ×10³", "PSNR", "MSE ×10⁴", "SSIM ×10²"]
    head += ["done", "done in place"] if judged else ["changed inside"]
    rows: list[Sequence[str]] = []
    for way in ways:
        scores = [r["ways"][way] for r in results if way in r["ways"]]
        if scores:
            inside = (
                [f"{mean(scores, name):.0%}" for name in ("done", "in_place")]
                if judged
                else [f"{255 * mean(scores, 'inside'):.1f}"]
            )
            rows.append((way, f"{len(scores)}", *_cells(scores), *inside, f"{mean(scores, 'time'):.2f}"))
    return markdown([*head, "time"], rows)


def _cells(scores: Sequence[Score]) -> list[str]:
    return [
        decibels([s["source"] for s in scores]),
        f"{1000 * mean(scores, 'structure'):.2f}",
        f"{overall_psnr(scores):.2f}",
        f"{10_000 * mean(scores, 'mse'):.1f}",
        f"{100 * mean(scores, 'ssim'):.2f}",
    ]


def sheet(results: Sequence[Result], strips: Sequence[Path], ways: Sequence[str]) -> Image.Image:
    """One row per strip: the picture, then its edits under the names of their methods."""
    columns = ["picture", *ways]
    page = Image.new("RGB", (MARGIN + len(columns) * TILE, WORDS + len(strips) * (TILE + WORDS)), PAPER)
    canvas, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    for column, name in enumerate(columns):
        canvas.multiline_text((MARGIN + column * TILE, 8), textwrap.fill(name, 18), INK, font)
    for row, (strip, result) in enumerate(zip(strips, results, strict=False)):
        top, pictures = WORDS + row * (TILE + WORDS), Image.open(strip)
        side = pictures.height
        for place, name in enumerate(["picture", *result["ways"]]):
            tile = pictures.crop((place * side, 0, (place + 1) * side, side))
            page.paste(
                tile.resize((TILE - 4, TILE - 4), Image.Resampling.LANCZOS),
                (MARGIN + columns.index(name) * TILE, top),
            )
        canvas.text(
            (MARGIN, top + TILE),
            f"{result['source']}  |  {result['edit']}",
            FAINT,
            ImageFont.load_default(13),
        )
    return page
