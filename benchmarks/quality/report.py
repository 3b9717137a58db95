"""Tables, contact sheet and plot of the measured edits, for docs/edit_quality.md."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from demo.show.sheet import FAINT, INK, MARGIN, PAPER

from ..shared.plot import Series, plot
from ..shared.table import markdown
from .edits import TYPES
from .ways import ALONE, BLENDED, CROSS_ENDS, LITERAL, OURS, SELF_ENDS

Result = Mapping[str, Any]
"""One edit, as written by edit_quality.py."""

METHODS = (ALONE, LITERAL, OURS, BLENDED)
GROUPS: Mapping[str, Callable[[Result], bool]] = {
    "all but re-weighting": lambda r: not r["weights"],
    "a thing": lambda r: r["edited"] is not None and not r["weights"],
    "the background": lambda r: r["edited"] is None,
    "words re-weighted": lambda r: bool(r["weights"]),
}


# Numbers for several edits by one method


def share(scores: Sequence[Mapping[str, Any]], name: str) -> float:
    """The share of edits that are `done` or `in_place`, or of things that stayed (`others`)."""
    values = [v for s in scores for v in (s[name] if name == "others" else [s[name]])]
    return fmean(values) if values else math.nan


def error(scores: Sequence[Mapping[str, Any]]) -> float:
    return fmean(s["mae"] for s in scores)


def psnr(scores: Sequence[Mapping[str, Any]]) -> float:
    """The PSNR of the mean square over all edits, in dB."""
    mse = fmean(s["mse"] for s in scores)
    return 10 * math.log10(255**2 / mse) if mse else math.inf


def shift(scores: Sequence[Mapping[str, Any]]) -> float:
    shifts = [pixels for s in scores for pixels in s["shifts"]]
    return fmean(shifts) if shifts else math.nan


def scores_of(results: Sequence[Result], way: str) -> list[Mapping[str, Any]]:
    return [r["ways"][way] for r in results if way in r["ways"]]


# Tables


def settings_line(results: Sequence[Result], seed: int, steps: int, cfg: float) -> str:
    tried = sum(r["candidates"] for r in results)
    return (
        f"{len(results)} edits, seed {seed}, {steps} Euler steps at guidance {cfg:g}."
        f" {tried} candidates were generated; {len(results) / tried:.0%} of the images"
        " showed everything in their caption and nothing else."
    )


def methods_table(results: Sequence[Result]) -> str:
    """One row per method and group of edits, if the method supports all of the group."""
    head = (
        "edits of", "method", "edits", "done", "done in place", "error", "error ÷ alone", "PSNR",
        "others kept", "centre shift",
    )  # fmt: skip
    rows: list[Sequence[str]] = []
    for group, belongs in GROUPS.items():
        some = [r for r in results if belongs(r)]
        alone = scores_of(some, ALONE)
        for method in METHODS:
            scores = scores_of(some, method)
            if not some or len(scores) < len(some):
                continue
            ratio = f"{error(scores) / error(alone):.2f}" if alone else "–"
            rows.append((group, method, f"{len(scores)}", *_cells(scores, ratio)))
    return markdown(head, rows)


def _cells(scores: Sequence[Mapping[str, Any]], ratio: str) -> list[str]:
    return [
        f"{share(scores, 'done'):.1%}",
        f"{share(scores, 'in_place'):.1%}",
        f"{error(scores):.2f}",
        ratio,
        f"{psnr(scores):.1f} dB",
        _known(share(scores, "others"), "{:.1%}"),
        _known(shift(scores), "{:.1f} px"),
    ]


def _known(value: float, form: str) -> str:
    return "–" if math.isnan(value) else form.format(value)


def types_table(results: Sequence[Result]) -> str:
    """Done and error by type, with one column per method."""
    head = ["type", "edits", *(f"{what}: {m}" for what in ("done", "error") for m in METHODS)]
    rows: list[Sequence[str]] = []
    for type_name in TYPES:
        some = [r for r in results if r["type"] == type_name]
        by_method = [scores_of(some, m) for m in METHODS]
        shares = [f"{share(s, 'done'):.0%}" if s else "–" for s in by_method]
        errors = [f"{error(s):.2f}" if s else "–" for s in by_method]
        rows.append((type_name, f"{len(some)}", *shares, *errors))
    return markdown(head, rows)


def windows_table(results: Sequence[Result]) -> str:
    """Done / done in place / error: rows by the cross window's end, columns by the self window's."""
    rows = [
        [f"**{cross:g}**", *(_pair(scores_of(results, f"{cross:g} {own:g}")) for own in SELF_ENDS)]
        for cross in CROSS_ENDS
    ]
    return markdown(["cross end \\ self end", *(f"{own:g}" for own in SELF_ENDS)], rows)


def _pair(scores: Sequence[Mapping[str, Any]]) -> str:
    return f"{share(scores, 'done'):.0%} / {share(scores, 'in_place'):.0%} / {error(scores):.2f}"


PURPOSES: Mapping[str, Callable[[Result], bool]] = {
    "all": lambda r: True,
    "a colour": lambda r: r["type"] == "colour swap",
    "an object": lambda r: "swap" in r["type"] and "object" in r["type"],
    "the background": lambda r: "swap" in r["type"] and "background" in r["type"],
    "something added": lambda r: "added" in r["type"],
}


def presets_table(results: Sequence[Result]) -> str:
    """Done / done in place / error: a row per preset, a column per kind of edit."""
    kinds = {name: [r for r in results if belongs(r)] for name, belongs in PURPOSES.items()}
    head = ["preset", *(f"{name} ({len(some)})" for name, some in kinds.items())]
    rows = [
        [f"**{preset}**", *(_pair(scores_of(some, preset)) if some else "–" for some in kinds.values())]
        for preset in results[0]["ways"]
    ]
    return markdown(head, rows)


def windows_plot(results: Sequence[Result]) -> Image.Image:
    series: list[Series] = []
    for cross in CROSS_ENDS:
        scores = [scores_of(results, f"{cross:g} {own:g}") for own in SELF_ENDS]
        points = tuple((error(s), 100 * share(s, "done")) for s in scores)
        series.append(Series(f"cross end {cross:g}", points, tuple(f"{own:g}" for own in SELF_ENDS)))
    return plot(
        series,
        f"Success against preservation, {len(results)} edits (numbers: end of the self window)",
        "error where the picture had to stay, levels of 255 (lower is better)",
        "edits done, %",
    )


def blends_table(results: Sequence[Result]) -> str:
    alone = error(scores_of(results, ALONE))
    head = (
        "local blend (threshold, start, pooling)",
        "done",
        "done in place",
        "error",
        "error ÷ alone",
        "others kept",
    )
    rows: list[Sequence[str]] = []
    for way in results[0]["ways"]:
        scores = scores_of(results, way)
        cells = _cells(scores, f"{error(scores) / alone:.3f}")
        rows.append((way, *cells[:4], cells[5]))
    return markdown(head, rows)


# The contact sheet

TILE, WORDS, HEADING = 144, 62, 26


def contact_sheet(results: Sequence[Result], strips: Mapping[int, Path]) -> Image.Image:
    """One row per type. strips: the pictures of some edits side by side, source first."""
    by_type = [[r for r in results if r["type"] == name and r["index"] in strips] for name in TYPES]
    width, height = (1 + len(METHODS)) * TILE + MARGIN, HEADING + TILE + WORDS
    page = Image.new("RGB", (MARGIN + max(map(len, by_type)) * width, len(TYPES) * height), PAPER)
    for row, (name, some) in enumerate(zip(TYPES, by_type, strict=True)):
        for column, result in enumerate(some):
            corner = MARGIN + column * width, row * height
            _strip(page, corner, result, Image.open(strips[result["index"]]))
        ImageDraw.Draw(page).text((MARGIN, row * height + 4), name, INK, ImageFont.load_default(17))
    return page


def _strip(page: Image.Image, corner: tuple[int, int], result: Result, pictures: Image.Image) -> None:
    left, top = corner
    canvas, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    side = pictures.height
    places = {name: 1 + i for i, name in enumerate(result["ways"])}
    for column, name in enumerate(("source", *METHODS)):
        if name != "source" and name not in places:
            continue
        x = places.get(name, 0) * side
        tile = pictures.crop((x, 0, x + side, side)).resize((TILE - 4, TILE - 4), Image.Resampling.LANCZOS)
        page.paste(tile, (left + column * TILE, top + HEADING))
        below = left + column * TILE, top + HEADING + TILE - 2
        canvas.text(
            below,
            name if name == "source" else f"{_SHORT[name]}: {_verdict(result['ways'][name])}",
            INK,
            font,
        )
    lines = "\n".join(line for text in _asked(result) for line in textwrap.wrap(text, 5 * TILE // 6))
    canvas.multiline_text((left, top + HEADING + TILE + 16), lines, FAINT, font, spacing=2)


_SHORT = {ALONE: "alone", LITERAL: "literal", OURS: "P2P", BLENDED: "+ blend"}


def _verdict(score: Mapping[str, Any]) -> str:
    return "NOT done" if not score["done"] else "done" if score["in_place"] else "elsewhere"


def _asked(result: Result) -> tuple[str, str]:
    weights = ", ".join(f"{word}: {weight:g}" for word, weight in result["weights"].items())
    return result["source"], f"weights {weights}" if weights else result["edit"]
