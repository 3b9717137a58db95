"""Draw every kind of edit with the bundled model: source, prompt alone, edit with Prompt-to-Prompt."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from p2p_core.errors import P2PError
from p2p_core.words.fields import blocks

from .pairs import MAPS, PAIRS, Artist, DemoPair, Drawn
from .sheet import Tile, column, row

STEPS, CFG = 24, 5.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--host", choices=["diffusers", "comfyui"], default="diffusers")
    parser.add_argument("--out", type=Path, default=Path("demo/out"))
    chosen = parser.parse_args()
    try:
        with ExitStack() as stack:
            written = draw_all(_artist(chosen.host, stack), chosen.out)
    except P2PError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"Wrote {len(written)} images, drawn with {chosen.host}, to {chosen.out.resolve()}")
    return 0


def draw_all(artist: Artist, out: Path) -> list[Path]:
    """Draw and write every pair and attention maps; `all.png` shows the pairs together."""
    out.mkdir(parents=True, exist_ok=True)
    sheets: list[Image.Image] = []
    written: list[Path] = []
    for pair in tqdm(PAIRS, desc="edits", unit="edit"):
        drawn = artist.pair(pair)
        sheets.append(labelled(pair, drawn))
        written.append(out / f"{pair.name}.png")
        sheets[-1].save(written[-1])
    column(sheets).save(out / "all.png")
    written.append(out / "attention_maps.png")
    artist.maps(MAPS).save(written[-1])
    return written


def labelled(pair: DemoPair, drawn: Drawn) -> Image.Image:
    """One sheet for a pair: the prompts and the results."""
    tiles = [Tile(drawn.source, "source", pair.source)]
    if len(pair.edits) == 1:
        tiles.append(Tile(drawn.alone, "edit, prompt alone", pair.edits[0]))
    headings = blocks(pair.weights) if pair.weights else [""] * len(pair.edits)
    for edit, text, heading in zip(drawn.edits, pair.edits, headings, strict=True):
        what = "with Local Blend" if pair.blend else heading or "edit with Prompt-to-Prompt"
        tiles.append(Tile(edit, what, text))
    return row(tiles, pair.title)


def _artist(host: str, stack: ExitStack) -> Artist:
    """Hosts are imported on use, because diffusers and a ComfyUI server are slow to load."""
    if host == "comfyui":
        from .with_comfyui import artist

        return stack.enter_context(artist(STEPS, CFG))
    from .with_diffusers import artist as draw_with_diffusers

    return draw_with_diffusers(STEPS, CFG)


if __name__ == "__main__":
    sys.exit(main())
