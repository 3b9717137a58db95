"""LTX-2: video and audio in one nested latent, both edited where they attend to text."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

pytestmark = [pytest.mark.host, pytest.mark.real_host]

try:
    import comfy.nested_tensor
    from float64_maps import FloatMaps, Lengths
    from tiny_pairs import Pack, Pair, close
    from transformer_table import FAMILIES
    from transformers_tiny import Conditioning, here, sampled

    HERE = here("LTX-2")
except ModuleNotFoundError:
    pytest.skip("needs ComfyUI itself", allow_module_level=True)

TURNS = ("self", "cross", "self", "cross", None, None)
Streams = Sequence[Tensor]


@pytest.fixture(scope="module")
def p2p(pack: ModuleType) -> Pack:
    if not HERE:
        pytest.skip("the host lacks it")
    return Pack(pack)


class InTurn(FloatMaps):
    """Of the six calls of each block, which are told apart by their order."""

    def _kind(self, queries: int, keys: int, options: dict[str, Any]) -> str | None:
        self.seen = getattr(self, "seen", -1) + 1
        return TURNS[self.seen % len(TURNS)]


class AudioPair(Pair):
    """audio: the number of its tokens, None for a video alone."""

    def __init__(self, p2p: Pack, audio: int | None = 3) -> None:
        super().__init__(p2p, "LTX-2")
        random = torch.Generator().manual_seed(4)
        self.streams = [torch.randn(1, *FAMILIES["LTX-2"].latent, generator=random)]
        if audio is not None:
            self.streams.append(torch.randn(1, 8, audio, 16, generator=random))

    def drawn(self, model: Any, positive: Conditioning, rows: int = 1, **how: Any) -> Streams:
        noise = [stream.repeat_interleave(rows, dim=0) for stream in self.streams]
        empty = [torch.zeros_like(stream) for stream in noise]
        if len(noise) == 1:
            return [sampled(model, positive, self.negative, noise[0], latent=empty[0], **how)]
        nested = comfy.nested_tensor.NestedTensor
        return sampled(model, positive, self.negative, nested(noise), latent=nested(empty), **how).unbind()

    def sample(self, model: Any, positive: Conditioning, *_: Any, **how: Any) -> Tensor:
        return torch.cat([stream.flatten(1) for stream in self.drawn(model, positive, **how)], dim=1)

    def lengths(self, text: int) -> Lengths:
        return Lengths((0, text), (0, 32), 32, False)


@pytest.mark.parametrize("audio", [3, 32, 7, None])
@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_source_rows_and_empty_windows_are_plain_runs(p2p: Pack, cfg: float, audio: int | None) -> None:
    """Also where the audio is as long as the video or the text."""
    pair = AudioPair(p2p, audio)
    closed = pair.drawn(pair.edited(pair.step("swap", 0, 0)), pair.paired, cfg=cfg)
    opened = pair.drawn(pair.edited(pair.step("swap", 1, 1)), pair.paired, cfg=cfg)
    for prompt in range(3):
        plain = pair.drawn(pair.model, pair.conditionings[prompt], 3, cfg=cfg)
        assert all(torch.equal(a[prompt], b[prompt]) for a, b in zip(closed, plain, strict=True))
    assert len(opened) == len(pair.streams)
    for own, other in zip(closed, opened, strict=True):
        assert torch.equal(own[0], other[0]) and not torch.equal(own[1], other[1])


@pytest.mark.parametrize("windows", [(1, 0), (1, 1), (0, 1)])
@pytest.mark.parametrize("method", ["swap", "refine"])
def test_edits_are_edits_of_the_float64_maps(
    p2p: Pack, method: str, windows: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiny_pairs.FloatMaps", InTurn)
    pair = AudioPair(p2p)
    step = pair.step(method, *windows)
    close(pair.sample(pair.edited(step), pair.paired), pair.expected(step)[0])


def test_maps_and_blend_are_of_one_latent(p2p: Pack, error: type[Exception]) -> None:
    pair, store = AudioPair(p2p), p2p.maps.MapStore()
    blend = p2p.blending.Blend(("cat",), ("dog", "snow"), (), store)
    record = p2p.recording.Record((p2p.maps.word_channel("cat", pair.prompts),), store)
    for step in (blend, record):
        with pytest.raises(error, match=r"one latent for Local Blend, .*, got a latent of video"):
            pair.drawn(pair.edited(step, pair.edited(pair.step("swap", 1, 0))), pair.paired)


def test_a_second_sampling_continues_the_pair(p2p: Pack) -> None:
    pair = AudioPair(p2p)
    edited = pair.edited(pair.step("swap", 1, 1))
    first = pair.drawn(edited, pair.paired)
    assert [len(stream) for stream in first] == [3, 3]
    nested = comfy.nested_tensor.NestedTensor
    again = nested([stream[:1].repeat_interleave(3, dim=0) for stream in pair.streams])
    second = sampled(edited, pair.paired, pair.negative, again, latent=nested(first)).unbind()
    assert [len(stream) for stream in second] == [3, 3]
