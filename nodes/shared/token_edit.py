"""Shared by Word Swap, Refine and Prompt Edit: their inputs and their `execute`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from comfy_api.latest import io

from ...p2p_core.architecture.layers import LayerFilter
from ...p2p_core.edits.presets import PRESETS
from ...p2p_core.edits.steps import EDIT_WINDOWS, EditMethod, TokenEdit
from ...p2p_core.words.windows import Window, parse_word_windows
from ..comfyui.advice import naming
from ..comfyui.model import plan_of, with_step
from ..comfyui.shown_after import origin
from .types import EDIT, Prompts, bound, found_by, require_option, summary

CROSS, SELF = EDIT_WINDOWS.cross, EDIT_WINDOWS.self_attention
CUSTOM = "custom"  # the preset of a node whose own windows count


def schema(
    node_id: str, name: str, description: str, words: tuple[str, ...], outputs: list[Any] | None = None
) -> io.Schema:
    """The schema of a token edit. words: what people call it. outputs: those after MODEL."""
    return io.Schema(
        node_id=node_id,
        display_name=f"P2P {name}",
        category=EDIT,
        **found_by(*words),
        description=f"{description} Windows are parts of the sampling, 0 = pure noise, 1 = finished image.",
        inputs=[
            io.Model.Input("model", tooltip="The MODEL to patch; other uses of it are unaffected."),
            Prompts.Input("prompts", tooltip="From Prompt Pair."),
            bound("cross_start", CROSS.start, "Start of the cross-attention window, 0 to 1."),
            bound("cross_end", CROSS.end, "End of the cross-attention window, 0 to 1. Higher preserves more "
                  "of the source's layout and shapes; equal to the start turns it off."),
            bound("self_start", SELF.start, "Start of the self-attention window, 0 to 1."),
            bound("self_end", SELF.end, "End of the self-attention window, 0 to 1. Higher preserves more of "
                  "the source's outlines; equal to the start turns it off."),
            io.String.Input("word_windows", multiline=True, default="", optional=True,
                tooltip="Cross-attention windows for single words of the edit prompt, one per line: "
                "'lion: 0.4' or 'red car: 0.2-0.8'. Empty: all words use the window above."),
            io.String.Input("layers", default="all", optional=True,
                tooltip="Blocks to edit: 'all', or a list such as 'input 4-8, middle, output 3' (U-Net), "
                "'double 0-18, single 0-9' or 'block 0-15' (transformers), or resolutions relative to the "
                "latent such as '1/2, 1/4'. A name that the model lacks is an error that lists its blocks."),
            io.Int.Input("self_token_cap", default=0, min=0, max=65536, optional=True,
                tooltip="Take self-attention from the source only in layers with at most this many image "
                "tokens. 0: in all layers. The paper's code uses 256 (16 × 16) or 1024 (32 × 32)."),
            io.Combo.Input("preset", options=[*PRESETS, CUSTOM], default=CUSTOM, optional=True,
                tooltip="Both windows, by what you want to change, for this model and its number of steps: "
                "recolour keeps exactly the same shape, reshape is for another thing, restyle for the whole "
                "picture, free is the edit prompt without control. custom: the numbers of this node."),
        ],
        outputs=[
            io.Model.Output(display_name="model",
                tooltip="For the sampler, or for the next Prompt-to-Prompt node."),
            *(outputs or []),
        ],
    )  # fmt: skip


class TokenEditNode(io.ComfyNode):
    """Abstract: subclasses set the method and the title."""

    METHOD: ClassVar[EditMethod]
    NAME: ClassVar[str]

    @classmethod
    def execute(
        cls, model: Any, prompts: Any, cross_start: float, cross_end: float, self_start: float,
        self_end: float, word_windows: str = "", layers: str = "all", self_token_cap: int = 0,
        preset: str = CUSTOM,
    ) -> io.NodeOutput:  # fmt: skip
        with naming(cls.NAME):
            require_option("preset", preset, [*PRESETS, CUSTOM])
            edit = TokenEdit(
                cls.METHOD,
                cross=Window(cross_start, cross_end),
                self_attention=Window(self_start, self_end),
                words=parse_word_windows(word_windows),
                layers=LayerFilter(layers),
                self_tokens=self_token_cap,
                preset=next((name for name in PRESETS if name == preset), None),
            )
            edits = prompts.with_edits()
            description = plan_of(model, prompts).then(edits, edit).describe()
            shown = cls.shown(description, prompts)
            patched = with_step(model, edits, replace(edit, origin=origin(shown)))
            return io.NodeOutput(patched, *cls.texts(description), ui=shown)

    @classmethod
    def shown(cls, description: str, prompts: Any) -> dict[str, list[Any]]:
        """The data for the front end."""
        return summary(description)

    @classmethod
    def texts(cls, description: str) -> Sequence[str]:
        """The outputs after MODEL."""
        return ()
