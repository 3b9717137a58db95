"""Pack checkpoints into the files that hosts load: `python -m demo.training.pack --folder FOLDER --out OUT`.

`p2p_demo.safetensors` holds the U-Net, its text encoder and the decoder; `p2p_demo_transformer.safetensors`
the transformer; `checker.safetensors` the checker's network. A model without a checkpoint is left out.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from . import shards
from .training import COUNTS

FILES = {
    "p2p_demo": {"unet": "", "decoder": "autoencoder."},  # checkpoint: prefix of its names in the file
    "p2p_demo_transformer": {"transformer": ""},
    "checker": {"detector": ""},
}


def pack(folder: Path, out: Path) -> list[Path]:
    """Write what the folder holds; → the files written."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, parts in FILES.items():
        tensors: dict[str, Tensor] = {}
        for part, prefix in parts.items():
            saved = shards.load(folder / part)
            tensors |= {prefix + key: value for key, value in saved.items() if key != COUNTS}
        if tensors:
            save_file(tensors, out / f"{name}.safetensors", metadata={"format": "pt", "model": name})
            written.append(out / f"{name}.safetensors")
    shutil.copytree(folder / "tokenizer", out / "tokenizer", dirs_exist_ok=True)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="the checkpoints of train_all")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    for file in pack(chosen.folder, chosen.out):
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
