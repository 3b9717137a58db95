"""A lower bound of training time: `python -m demo.training.floor --rate 790` counts the cost of a sample.

--rate: the card's matrix rate in bfloat16, in TFLOP/s (an H100 is measured at about 790).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..things import assets
from .train_all import PARTS, Setting

BATCH = 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="the checkpoints of train_all")
    parser.add_argument("--rate", type=float, default=790)
    chosen = parser.parse_args()
    pictures = assets.load(chosen.folder / "things.safetensors")
    setting = Setting(chosen.folder, pictures, torch.device("cpu"), seed=0)
    print("| model | parameters | GFLOP per sample | samples/s, upper limit |")
    print("|---|---|---|---|")
    for name, part in PARTS.items():
        training, loss = part(setting)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # counts attention too
            loss(BATCH).backward()
        flops = counter.get_total_flops() / BATCH
        millions = sum(p.numel() for p in training.model.parameters()) / 1e6
        print(f"| {name} | {millions:.1f} M | {flops / 1e9:.1f} | {chosen.rate * 1e12 / flops:,.0f} |")


if __name__ == "__main__":
    main()
