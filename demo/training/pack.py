"""Checkpoints as the files that hosts load: `python -m demo.training.pack --folder FOLDER --out OUT`.

`p2p_demo.safetensors` holds the U-Net, its text encoder and the decoder; `p2p_demo_transformer.safetensors`
the transformer; `checker.safetensors` the checker's network. A model without a checkpoint is left out.
`--unpack` makes checkpoints of such files, for training to go on from.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from . import shards
from .training import COUNTS

FILES = {
    "p2p_demo": {"unet": ("unet.", "text."), "decoder": ("autoencoder.",)},
    "p2p_demo_transformer": {"transformer": ("",)},
    "checker": {"detector": ("",)},
}  # of every file: which checkpoints it holds, and how their tensors' names begin there
ADDED = {"decoder": "autoencoder."}  # what is put before the names of a checkpoint


def pack(folder: Path, out: Path) -> list[Path]:
    """Write what the folder holds; → the files written. Their metadata tell steps and samples."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, parts in FILES.items():
        tensors: dict[str, Tensor] = {}
        metadata = {"format": "pt", "model": name}
        for part in parts:
            if saved := shards.load(folder / part):
                metadata[part] = " ".join(str(count) for count in saved.pop(COUNTS).tolist())
                tensors |= {ADDED.get(part, "") + key: value for key, value in saved.items()}
        if tensors:
            save_file(tensors, out / f"{name}.safetensors", metadata)
            written.append(out / f"{name}.safetensors")
    shutil.copytree(folder / "tokenizer", out / "tokenizer", dirs_exist_ok=True)
    return written


def unpack(out: Path, folder: Path) -> None:
    """The inverse of `pack`."""
    for name, parts in FILES.items():
        file = out / f"{name}.safetensors"
        if not file.exists():
            continue
        tensors = load_file(file)
        with safe_open(file, "pt") as opened:  # type: ignore[no-untyped-call]
            metadata = opened.metadata()
        for part, starts in parts.items():
            if part in metadata:
                added = len(ADDED.get(part, ""))
                chosen = {key[added:]: value for key, value in tensors.items() if key.startswith(starts)}
                counts = torch.tensor([int(count) for count in metadata[part].split()])
                shards.save(chosen | {COUNTS: counts}, folder / part)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="the checkpoints of train_all")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the packed files")
    parser.add_argument("--unpack", action="store_true")
    chosen = parser.parse_args()
    if chosen.unpack:
        unpack(chosen.out, chosen.folder)
        return
    for file in pack(chosen.folder, chosen.out):
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
