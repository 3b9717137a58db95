"""A real server that is interrupted, or used by two clients at once: its pictures stay the same."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tools.comfyui.find import ComfyInstall
from tools.comfyui.server import Server, comfy_server

from .stress import interrupted, pictures, reference, reference_graph


@contextmanager
def clients_and_interrupts(place: Path) -> Iterator[dict[str, Callable[[int], str]]]:
    """Attempts on a server of the ComfyUI in a folder, which runs under this interpreter."""
    with comfy_server(ComfyInstall(place, Path(sys.executable), "")) as server:
        expected = pictures(server, reference(server))
        yield {
            "interrupts": lambda seed: _interrupted(server, expected, seed),
            "two clients": lambda seed: _two(server, expected, seed),
        }


def _interrupted(server: Server, expected: list[Any], seed: int) -> str:
    interrupted(server, reference_graph(100 + seed), Random(seed).uniform(0, 1.0))
    return _same(expected, pictures(server, reference(server, anew=seed % 2 == 0)))


def _two(server: Server, expected: list[Any], seed: int) -> str:
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(server.run, reference_graph(100 + seed))
        mine = pool.submit(reference, server, seed % 2 == 0)
        _same(expected, pictures(server, mine.result()))
        assert pictures(server, other.result())
    return "accepted"


def _same(expected: list[Any], found: list[Any]) -> str:
    assert len(expected) == len(found) and all(map(np.array_equal, expected, found)), "other pictures"
    return "accepted"
