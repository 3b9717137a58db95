"""The example workflows' final latents on the diffusers host, and the comparison itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch
from golden.record import FOLDER, TOLERANCE, Golden, difference, golden_latents, summary_of
from golden.with_diffusers import Diffusers
from golden.workflows import NAMES, final_latents, workflow_of

LATENTS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def golden(pytestconfig: pytest.Config) -> Iterator[Golden]:
    with golden_latents("diffusers", pytestconfig) as found:
        yield found


@pytest.fixture(scope="module")
def diffusers() -> Diffusers:
    return Diffusers()


@pytest.mark.parametrize("name", NAMES)
def test_latents_are_golden(golden: Golden, diffusers: Diffusers, name: str) -> None:
    golden.check(name, final_latents(workflow_of(name), diffusers))


def test_every_host_has_every_workflow() -> None:
    files = {file.stem: json.loads(file.read_text("utf-8")) for file in FOLDER.glob("*.json")}
    assert {"diffusers", "comfyui-0.3.64", "comfyui-0.33.0"} <= set(files)
    assert all(tuple(content["latents"]) == NAMES for content in files.values())


def test_one_changed_bit_is_found() -> None:
    changed = LATENTS.clone()
    changed[1, 2, 31, 30] = changed[1, 2, 31, 30].nextafter(torch.tensor(9.0))
    known, found = summary_of(LATENTS), summary_of(changed)
    assert not difference(known, summary_of(LATENTS.clone()), exact=True)
    assert difference(known, found, exact=True) and not difference(known, found, exact=False)


@pytest.mark.parametrize("row", [0, 1])
def test_another_environment_still_finds_a_changed_row(row: int) -> None:
    changed = LATENTS.clone()
    changed[row] += 10 * TOLERANCE
    known = summary_of(LATENTS)
    assert "differ by up to 0.005" in difference(known, summary_of(changed), exact=False)
    assert "shape" in difference(known, summary_of(LATENTS[:1]), exact=False)
