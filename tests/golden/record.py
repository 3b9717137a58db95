"""Golden latents: what every host samples from fixed seeds, recorded so that a test sees any change of them.

One file per host and version, written by `make golden`. Where the environment is the recorded one, checksums
are compared. Elsewhere kernels round differently: then the mean, the standard deviation and some entries are
compared within TOLERANCE. Between AVX-512, AVX2, SSE and plain C kernels, the latents differ by up to 1.5e-4.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from .workflows import NAMES

FOLDER = Path(__file__).resolve().parent
WRITE = bool(os.environ.get("P2P_WRITE_GOLDEN"))
TOLERANCE = 5e-4
ENTRIES = 16
PACKAGES = ("numpy", "pillow", "transformers", "diffusers")

Summary = dict[str, Any]


@dataclass(frozen=True)
class Golden:
    """The latents of one host: recorded ones by workflow, and those that this run computed."""

    host: str
    known: dict[str, Summary]
    exact: bool
    found: dict[str, Summary] = field(default_factory=dict)

    def check(self, name: str, latents: Tensor) -> None:
        """Raises AssertionError if a workflow's latents differ from the recorded ones."""
        self.found[name] = summary_of(latents)
        assert WRITE or not (text := self._difference(name)), f"{name} on {self.host}: {text}"

    def line(self) -> str:
        """The outcome in one line."""
        equal = sum(not self._difference(name) for name in self.found)
        how = "equal" if self.exact else f"within {TOLERANCE:g} (another environment than the recorded one)"
        return f"golden: {equal} of {len(self.found)} {how} on {self.host}"

    def write(self) -> None:
        assert tuple(self.found) == NAMES, "golden latents are written for all workflows at once"
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in self.found.items())
        text = f'{{\n"environment": {json.dumps(environment(), indent=1)},\n"latents": {{\n{lines}\n}}}}\n'
        _file(self.host).write_text(text, encoding="utf-8")

    def _difference(self, name: str) -> str:
        if name not in self.known:
            return "no golden latents; run `make golden`"
        return difference(self.known[name], self.found[name], self.exact)


@contextmanager
def golden_latents(host: str, config: pytest.Config) -> Iterator[Golden]:
    """Runs on one thread, so that sums have one order. The outcome is reported, or written, at the end."""
    threads, file = torch.get_num_threads(), _file(host)
    if not (WRITE or file.is_file()):
        pytest.skip(f"no golden latents of {host}; `make golden` writes them")
    content = {"environment": None, "latents": {}} if WRITE else json.loads(file.read_text("utf-8"))
    golden = Golden(host, content["latents"], content["environment"] == environment())
    torch.set_num_threads(1)
    try:
        yield golden
    finally:
        torch.set_num_threads(threads)
    if WRITE:
        golden.write()
    _report(config, f"golden: {host} written" if WRITE else golden.line())


def summary_of(latents: Tensor) -> Summary:
    """Latents [R, C, h, w] as a checksum of their float32 bytes, and a few values at full precision."""
    values = latents.detach().float().cpu().contiguous()
    flat = values.flatten()
    spread = torch.linspace(0, len(flat) - 1, ENTRIES).long()
    return {
        "sha256": hashlib.sha256(values.numpy().tobytes()).hexdigest(),
        "shape": list(values.shape),
        "mean": float(flat.double().mean()),
        "std": float(flat.double().std()),
        "entries": flat[spread].tolist(),
    }


def difference(known: Summary, found: Summary, exact: bool) -> str:
    """The difference as text; empty if there is none. exact: compare bits."""
    if known["shape"] != found["shape"]:
        return f"expected the shape {known['shape']}, got {found['shape']}"
    largest = float((_values(known) - _values(found)).abs().max())
    same = known["sha256"] == found["sha256"] if exact else largest <= TOLERANCE
    return "" if same else f"not the golden latents; sampled values differ by up to {largest:.2g}"


def environment() -> dict[str, str]:
    """Everything that the last bits depend on."""
    own = {"processor": _processor(), "capability": torch.backends.cpu.get_cpu_capability()}
    return {**own, "torch": torch.__version__, **{name: _version(name) for name in PACKAGES}}


def _values(summary: Summary) -> Tensor:
    return torch.tensor([summary["mean"], summary["std"], *summary["entries"]], dtype=torch.float64)


def _file(host: str) -> Path:
    return FOLDER / f"{host.lower().replace(' ', '-')}.json"


def _report(config: pytest.Config, line: str) -> None:
    """Print a line past pytest's capture."""
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{line}", flush=True)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """Name, family and model: virtual machines often give only a general name."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return f"{platform.system()} {platform.processor()}"
    first = cpuinfo.read_text("utf-8").partition("\n\n")[0]
    fields = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.split("\n"))
    }
    parts = (fields.get(key, "") for key in ("model name", "cpu family", "model"))
    return " / ".join([platform.machine(), *parts])
