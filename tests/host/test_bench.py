"""`make bench` in miniature: every case on tiny models of each kind, and the shapes of real ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.host import overhead
from benchmarks.host.cases import CASES
from benchmarks.host.devices import DEVICES
from benchmarks.host.results import PLAIN, read, text, write
from benchmarks.host.shapes import FLUX, QWEN, SDXL, SHAPES, Shape

pytestmark = [pytest.mark.host, pytest.mark.real_host]

NARROW_SDXL = {**SDXL, "model_channels": 32, "context_dim": 96}
TINY = {
    "tiny": SHAPES["tiny"],
    "sdxl": replace(SHAPES["sdxl-1024"], unet=NARROW_SDXL, latent=(4, 8, 8), text=(77, 96)),
    "flux": replace(
        SHAPES["flux-1024"],
        unet={**FLUX, "hidden_size": 32, "num_heads": 2, "axes_dim": [4, 6, 6], "context_in_dim": 16},
        latent=(16, 8, 8),
        text=(96, 16),
    ),
    "qwen": replace(
        SHAPES["qwen-1024"],
        unet={
            **{**QWEN, "num_attention_heads": 2, "attention_head_dim": 16, "axes_dims_rope": (4, 6, 6)},
            "joint_attention_dim": 16,
        },
        latent=(16, 1, 8, 8),
        text=(96, 16),
    ),
}


def require(shape: Shape) -> None:
    import comfy.ldm.flux.model
    import comfy.supported_models

    fields = comfy.ldm.flux.model.FluxParams.__dataclass_fields__
    other = shape.kind == "Flux" and "txt_ids_dims" not in fields
    if other or not hasattr(comfy.supported_models, shape.kind):
        pytest.skip("this ComfyUI lacks the family or describes it in another way")


@pytest.mark.parametrize("name", TINY)
def test_every_case_is_measured(
    pack: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    require(TINY[name])
    monkeypatch.setitem(SHAPES, name, TINY[name])
    device = DEVICES["cpu"]
    measured = overhead.measured_shape(device, pack, name, steps=2, rounds=1)
    cases = [case for case in CASES if case not in TINY[name].left_out]
    assert [case.case for case in measured.cases] == [PLAIN, *cases]
    assert all(case.step_ms > 0 and case.waits is None for case in measured.cases)
    assert capsys.readouterr().out.count("ms per step") == 2 * len(measured.cases)
    results = overhead.described(device, [measured])
    assert text(read(write(results, tmp_path))) == text(results)


@pytest.mark.parametrize(
    "shape", [shape for name, shape in SHAPES.items() if name != "tiny"], ids=lambda s: s.title
)
def test_the_host_takes_a_shape_for_its_kind(shape: Shape) -> None:
    import comfy.model_detection

    require(shape)
    config = comfy.model_detection.model_config_from_unet_config(dict(shape.unet))
    assert type(config).__name__ == shape.kind
    assert shape.latent[0] == config.latent_format.latent_channels
