"""The transformer blocks of real U-Nets, built without weights: how many, and how small."""

from __future__ import annotations

import importlib
from collections import Counter
from types import ModuleType, SimpleNamespace

import pytest

pytestmark = [pytest.mark.host, pytest.mark.real_host]

try:
    from families import FAMILIES, REAL, unet_without_weights
except ModuleNotFoundError:  # missing on the stand-in, where these tests do not run
    FAMILIES = {}


@pytest.mark.parametrize("name", FAMILIES)
def test_blocks_are_found_with_their_scale(pack: ModuleType, name: str) -> None:
    model = SimpleNamespace(model=SimpleNamespace(diffusion_model=unet_without_weights(name)))
    found = importlib.import_module(f"{pack.__name__}.nodes.comfyui.unet").cross_attention_layers(model)
    scales = FAMILIES[name].blocks.scales
    assert Counter(layer.scale for layer in found) == scales
    assert len({(layer.stage, layer.number, layer.index) for layer in found}) == sum(scales.values())


def test_their_numbers() -> None:
    """16 in Stable Diffusion 1 and 2, 70 in SDXL, 44 in its refiner."""
    numbers = {name: sum(family.blocks.scales.values()) for name, family in FAMILIES.items()}
    assert (numbers["SD1.5"], numbers["SD2.x, v"]) == (16, 16)
    assert (numbers["SDXL"], numbers["SDXL refiner"]) == (70, 44)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_host_takes_its_weights_for_this_family(name: str) -> None:
    import comfy.model_detection as detection

    family, weights = FAMILIES[name], unet_without_weights(name).state_dict()
    found = detection.detect_unet_config(weights, "")
    assert found.items() <= family.unet(REAL).items()
    assert type(detection.model_config_from_unet_config(found, weights)).__name__ == family.kind
