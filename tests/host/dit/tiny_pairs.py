"""A source and its edit prompts on a tiny transformer, and what their maps built in float64 give."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from float64_maps import FloatEdit, FloatMaps, Lengths
from torch import Tensor
from transformer_table import FAMILIES
from transformers_tiny import Conditioning, conditioning, noise, sampled, tiny_transformer

SOURCE, EDITS = 5, (6, 7)  # seeds of prompts


class Pack:
    """What the tests use of the pack."""

    def __init__(self, pack: ModuleType) -> None:
        def part(name: str) -> Any:
            return importlib.import_module(f"{pack.__name__}.{name}")

        self.model, self.pairing = part("nodes.comfyui.model"), part("nodes.comfyui.pairing")
        self.families, self.dit = part("nodes.comfyui.families"), part("nodes.comfyui.dit")
        self.plan, self.prompts = part("p2p_core.plan"), part("p2p_core.words.prompts")
        self.pieces = part("p2p_core.words.pieces")
        self.columns, self.steps = part("p2p_core.edits.columns"), part("p2p_core.edits.steps")
        self.maps, self.blending = part("p2p_core.maps.store"), part("p2p_core.maps.blending")
        self.recording, self.masks = part("p2p_core.maps.recording"), part("p2p_core.maps.masks")
        self.windows, self.weights = part("p2p_core.words.windows"), part("p2p_core.words.weights")
        self.window = self.windows.Window

    def prompt(self, words: str, columns: int) -> Any:
        """A prompt of one-token words between two special columns, padded with special columns."""
        piece = self.pieces.Piece
        pieces = [piece("", "special"), *[piece(word, ends_word=True) for word in words.split()]]
        pieces += [piece("", "special")] * (columns - len(pieces))
        return self.pieces.build_prompt(words, pieces, chunk=columns)


def close(result: Tensor, expected: Tensor) -> None:
    """Within 1e-5 of the largest value."""
    torch.testing.assert_close(result, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


class Pair:
    """A source and its edit prompts on a tiny model, all of as many columns."""

    def __init__(self, p2p: Pack, name: str, columns: Sequence[int] = (7, 7, 7)) -> None:
        self.p2p, self.name = p2p, name
        self.model = tiny_transformer(name)
        texts = ("a cat on grass", "a dog on grass", "a cat on snow")
        segments = {"HiDream-I1": 3, "HunyuanDiT": 2}.get(name, 1)  # how often a prompt's tokens stand there
        source, *edits = [
            p2p.prompt(text, count * segments) for text, count in zip(texts, columns, strict=True)
        ]
        self.prompts = p2p.prompts.PromptSet(source, tuple(edits))
        self.conditionings = [
            conditioning(name, count, seed) for seed, count in zip((SOURCE, *EDITS), columns, strict=True)
        ]
        self.negative = conditioning(name, 7, 9)

    @property
    def paired(self) -> Conditioning:
        return self.p2p.pairing.pair(self.conditionings, self.prompts.texts)

    def edited(self, step: Any, model: Any = None) -> Any:
        return self.p2p.model.with_step(model or self.model, self.prompts, step)

    def step(self, method: str, cross: float, own: float) -> Any:
        window = self.p2p.window
        return self.p2p.steps.TokenEdit(method, window(0, cross), window(0, own))

    def sample(self, model: Any, positive: Conditioning, samples: int = 1, **how: Any) -> Tensor:
        return sampled(model, positive, self.negative, noise(self.name, samples), **how)

    def plain(self, prompt: int, rows: int, samples: int = 1, **how: Any) -> Tensor:
        """The prompt alone, in a batch of as many rows of the same noise, sample by sample."""
        drawn = noise(self.name, samples).repeat_interleave(rows // samples, dim=0)
        return sampled(self.model, self.conditionings[prompt], self.negative, drawn, **how)

    def lengths(self, text: int) -> Lengths:
        family = self.p2p.families.family_of(self.model)
        glyphs = self.glyphs()
        around = (glyphs if family.before else 0), (glyphs if family.after else 0)
        layout = family.tokens.layout(text - glyphs, (1, *FAMILIES[self.name].latent), 0, *around)
        spans = [(span.start, span.count) for span in (layout.text, layout.image)]
        return Lengths(spans[0], spans[1], layout.total, family.tokens.joint)

    def expected(self, step: Any, word: str = "", **how: Any) -> tuple[Tensor, list[Tensor]]:
        """The pair in an empty window with float64 maps edited below it, and the maps of a word.

        step: one or several, whose windows never change.
        """
        closed = self.edited(self.step("swap", 0, 0))
        plan = self.p2p.plan.EditPlan(self.prompts)
        for each in step if isinstance(step, list) else [step]:
            plan = plan.then(self.prompts, each)
        layer, text = self.p2p.families.layers_of(self.model)[0], self.text_columns()
        edits = [self._float(plan, row, layer, text) for row in range(1, 1 + len(self.prompts.edits))]
        columns = [
            [self._start(text, prompt) + c for c in prompt.find(word)] if word and prompt.has(word) else []
            for prompt in self.prompts.prompts
        ]
        maps = FloatMaps(self.lengths(text), edits, columns)
        closed.model_options["transformer_options"]["optimized_attention_override"] = maps
        result = self.sample(closed, self.paired, **how)
        assert maps.calls
        return result, maps.words

    def text_columns(self) -> int:
        longest = max(prompt.columns for prompt in self.prompts.prompts)
        if self.name in ("Flux.2", "Flux.2, long", "Anima"):
            return max(512, longest)
        return -(-longest // 32) * 32 if self.name == "Z-Image" else longest + self.glyphs()

    def glyphs(self) -> int:
        """Columns of quoted text: as many as the longest prompt has."""
        has_any = "conditioning_byt5small" in FAMILIES[self.name].options
        return has_any * max(prompt.columns for prompt in self.prompts.prompts)

    def _float(self, plan: Any, row: int, layer: Any, text: int) -> FloatEdit:
        """W_s and w_e on all text columns: padding goes to padding away from the prompts, the rest evenly."""
        key, inject = plan.mixing_keys(layer, 0.0)[row - 1], plan.injects(layer, 0.0, 1)
        mixing = None if key is None else self.p2p.columns.mixing_of(self.prompts, key)
        if mixing is None:
            return FloatEdit(None, None, inject)
        w_s, w_e = torch.zeros(text, text), torch.zeros(text)
        prompts = self.prompts.source, self.prompts.prompts[row]
        (s, source), (e, edit) = ((self._start(text, p), p.columns) for p in prompts)
        w_s[s : s + source, e : e + edit], w_e[e : e + edit] = mixing.from_source, mixing.own
        sides = (
            (range(s)[::-1], range(e)[::-1], e),
            (range(s + source, text), range(e + edit, text), e + edit - 1),
        )
        for left, right, neighbour in sides:
            right = right or [neighbour]
            for a, b in zip(left, right, strict=False):
                w_s[a, b] += 1
            for a in left[len(right) :]:
                w_s[a, list(right)] += 1 / len(right)
        return FloatEdit(w_s, w_e, inject)

    def _start(self, text: int, prompt: Any) -> int:
        if self.name.startswith("Flux.2"):
            return max(0, 512 - prompt.columns)
        if self.name.startswith("HunyuanVideo 1.5"):
            return self.glyphs()
        return text - prompt.columns if self.name in ("Lumina 2", "NewBie", "ERNIE-Image") else 0
