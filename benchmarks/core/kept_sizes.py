"""What Remember Source takes for a source with its attention, by model: `make kept-sizes` writes the table.

Computed from the shapes of the models' attention layers, in half precision, for one image.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from p2p_core.architecture.names import Architecture
from p2p_core.edits.presets import ends_of

from ..shared.page import fill
from ..shared.table import markdown

PAGE = Path(__file__).resolve().parents[2] / "web" / "docs" / "P2PRememberSource.md"
HEAD = ("model", "without attention", "attention of a step", "attention with balanced windows")
HALF, FLOAT = 2, 4  # bytes of a value in attention, and of one in a prediction
STEPS = 30


@dataclass(frozen=True)
class Layers:
    """Attention layers of one size. tokens: N of the image; width: C."""

    count: int
    tokens: int
    width: int


@dataclass(frozen=True)
class Shape:
    """A model. latent: its values. kept: latents per step, the model's input, its predictions and the guided
    one. text: columns of the prompt.
    """

    name: str
    layers: tuple[Layers, ...]
    text: int
    latent: int
    kept: int = 4
    architecture: Architecture = "unet"

    @property
    def joint(self) -> bool:
        return self.architecture == "joint"

    @property
    def predictions(self) -> int:
        """Bytes of a run without attention."""
        return STEPS * self.kept * self.latent * FLOAT

    @property
    def own(self) -> int:
        """Bytes per step of queries and keys of self-attention, or of joint attention."""
        more = self.text if self.joint else 0
        return sum(2 * each.count * (each.tokens + more) * each.width for each in self.layers) * HALF

    @property
    def cross(self) -> int:
        """Bytes per step of queries and keys of cross-attention."""
        if self.joint:
            return 0
        return sum(each.count * (each.tokens + self.text) * each.width for each in self.layers) * HALF

    @property
    def run(self) -> int:
        """Bytes of the attention of a run with the preset `balanced`."""
        ends = ends_of("balanced", self.architecture)
        cross, own = (round(end * STEPS) for end in (ends.cross, ends.self_attention))
        return self.own * (max(cross, own) if self.joint else own) + self.cross * cross


SHAPES = (
    Shape(
        "SD 1.5, 512 × 512",
        (Layers(5, 4096, 320), Layers(5, 1024, 640), Layers(5, 256, 1280), Layers(1, 64, 1280)),
        text=77,
        latent=4 * 64**2,
    ),
    Shape("SDXL, 1024 × 1024", (Layers(10, 4096, 640), Layers(60, 1024, 1280)), text=77, latent=4 * 128**2),
    Shape(
        "Flux.1, 1024 × 1024",
        (Layers(57, 4096, 3072),),
        text=512,
        latent=16 * 128**2,
        kept=3,
        architecture="joint",
    ),
)


def main() -> None:
    table = markdown(HEAD, [row(shape) for shape in SHAPES])
    fill(PAGE, {"kept": table})
    print(table)


def row(shape: Shape) -> tuple[str, ...]:
    sizes = shape.predictions, shape.own + shape.cross, shape.run
    return shape.name, *(in_words(size) for size in sizes)


def in_words(count: int) -> str:
    mebibytes = count / 2**20
    return f"{mebibytes:.0f} MiB" if mebibytes < 1000 else f"{mebibytes / 1024:.1f} GiB"


if __name__ == "__main__":
    main()
