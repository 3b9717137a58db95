"""Hostile trajectory files and file names: each is loaded, or refused with a P2PError that has a hint."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import torch
from graphs import Graph

SUFFIX = ".p2p.safetensors"
PARTS = (
    *("a", "my cat", "..", ".", "", " ", "~", "%year%", "[output]", "[temp]", "C:", "\\", "\x00", "\n"),
    *("ночь", "猫" * 90, "a" * 260, "\ud800", "/tmp", "-rf", "a.p2p.safetensors", "/", "//", "…"),
)
DTYPES = ("F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "F32 ", "", "X" * 1000, 7, None)
ROOT = Path(__file__).resolve().parents[2]


def names(graph: Graph, error: type[Exception], random: Random) -> str:
    """A prefix for Save Trajectory: nothing appears outside, and what was saved can be loaded."""
    import folder_paths

    own = folder_paths.get_output_directory()
    with TemporaryDirectory() as place:
        output = Path(place) / "output"
        output.mkdir()
        folder_paths.set_output_directory(str(output))
        try:
            prefix = random.choice(["/", ""]).join(random.choices(PARTS, k=random.randint(1, 4)))
            return _round_trip(graph, error, prefix)
        finally:
            folder_paths.set_output_directory(own)
            assert [file.name for file in Path(place).iterdir()] == ["output"], prefix


def _round_trip(graph: Graph, error: type[Exception], prefix: str) -> str:
    save, load = (graph.node[f"P2P{name}Trajectory"] for name in ("Save", "Load"))
    try:
        (name,) = graph.host.run(save, trajectory=trajectory(error), filename_prefix=prefix)
    except error as refusal:
        assert refusal.hint and refusal.node  # type: ignore[attr-defined]
        return "refused"
    (found,) = graph.host.run(load, file=name)
    assert torch.equal(found.latents, trajectory(error).latents), repr(prefix)
    return "accepted"


def headers(graph: Graph, error: type[Exception], random: Random) -> str:
    """A file with a few bits of its header flipped."""

    def flipped(data: bytearray) -> bytearray:
        end = 8 + int.from_bytes(data[:8], "little")
        for _ in range(random.choice((1, 1, 2, 8))):
            data[random.randrange(end)] ^= 1 << random.randrange(8)
        return data

    return _loaded(error, flipped)


def dtypes(graph: Graph, error: type[Exception], random: Random) -> str:
    """A file whose header names another type, shape or place."""

    def changed(data: bytearray) -> bytearray:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        entry = header[random.choice([name for name in header if name != "__metadata__"])]
        key, value = random.choice([
            ("dtype", random.choice(DTYPES)),
            ("shape", [random.choice((-1, 0, 1, 5, 10**30, 0.5, "1")) for _ in range(random.randrange(8))]),
            ("data_offsets", [random.choice((-4, 0, 4, 10**12, None)) for _ in range(random.randrange(4))]),
        ])  # fmt: skip
        entry[key] = value
        encoded = json.dumps(header).encode()
        return bytearray(len(encoded).to_bytes(8, "little") + encoded + data[8 + length :])

    return _loaded(error, changed)


def truncation(graph: Graph, error: type[Exception], random: Random) -> str:
    """A file that ends too early, or has more than it should."""

    def cut(data: bytearray) -> bytearray:
        return data + b"\0" * 9 if random.random() < 0.1 else data[: random.randrange(len(data))]

    return _loaded(error, cut)


def _loaded(error: type[Exception], change: Any) -> str:
    files = _module(error, "real.files")
    with TemporaryDirectory() as place:
        file = Path(place) / f"a{SUFFIX}"
        assert files.save(trajectory(error), file)
        file.write_bytes(change(bytearray(file.read_bytes())))
        try:
            files.load(file)
        except error as refusal:
            assert refusal.hint  # type: ignore[attr-defined]
            return "refused"
        return "accepted"


KILLED = """
import sys, torch
from pathlib import Path
from p2p_core.real.files import save
from p2p_core.real.trajectory import Trajectory
latents = torch.zeros(21, 4, 4, 64, 64)
given = Trajectory(torch.linspace(1, 0, 21), latents, latents[0], torch.zeros(7, 6), "", "", "", "")
print(flush=True)
for n in range(10_000):
    save(given, Path(f"{n}.p2p.safetensors"))
"""


def kills(graph: Graph, error: type[Exception], random: Random) -> str:
    """A process killed while it saves: every file under a final name is whole."""
    files = _module(error, "real.files")
    with TemporaryDirectory() as place:
        command = [sys.executable, "-c", KILLED]
        environ = {"PYTHONPATH": str(ROOT), "PATH": ""}
        with subprocess.Popen(command, cwd=place, env=environ, stdout=subprocess.PIPE) as process:
            assert process.stdout and process.stdout.readline() == b"\n"
            with_time = random.uniform(0.02, 0.4)
            try:
                process.wait(with_time)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        for file in Path(place).glob(f"*{SUFFIX}"):
            files.load(file)
    return "accepted"


def trajectory(error: type[Exception]) -> Any:
    latents = torch.arange(4.0 * 12).reshape(4, 1, 3, 2, 2)
    kind = _module(error, "real.trajectory").Trajectory
    return kind(torch.linspace(3, 0, 4), latents, latents[0], torch.ones(3, 2), "a", "b", "c", "d")


def _module(error: type[Exception], name: str) -> Any:
    return importlib.import_module(f"{error.__module__.removesuffix('.errors')}.{name}")
