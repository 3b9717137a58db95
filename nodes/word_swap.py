"""Word Swap: the edit keeps the source's attention, so words change and the picture stays."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..p2p_core.errors import naming
from ..p2p_core.layers import LayerFilter
from ..p2p_core.plan import TokenEdit
from ..p2p_core.schedule import Window, parse_word_windows
from ._host import with_edit
from ._types import CATEGORY, Prompts


def _bound(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, round=0.001, tooltip=tooltip)


class P2PWordSwap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PWordSwap",
            display_name="P2P Word Swap",
            category=CATEGORY,
            description="Changes words and keeps the picture: inside the windows the edit is drawn with the "
            "source's attention. Windows are parts of the sampling, 0 = pure noise, 1 = finished picture.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL to patch; other uses of it are not touched."),
                Prompts.Input("prompts", tooltip="From Prompt Pair."),
                _bound("cross_start", 0.0, "Start of the cross-attention window, 0 to 1."),
                _bound("cross_end", 0.8, "End of the cross-attention window, 0 to 1. Higher keeps more of "
                       "the source's layout and shapes; equal to the start switches it off."),
                _bound("self_start", 0.0, "Start of the self-attention window, 0 to 1."),
                _bound("self_end", 0.4, "End of the self-attention window, 0 to 1. Higher keeps more of the "
                       "source's outlines; equal to the start switches it off."),
                io.String.Input("word_windows", multiline=True, default="", optional=True,
                    tooltip="Cross-attention windows of single words of the edit prompt, one a line: "
                    "'lion: 0.4' or 'red car: 0.2-0.8'. Empty: all words use the window above."),
                io.String.Input("layers", default="all", optional=True,
                    tooltip="Layers to act on: 'all', or a list such as 'input 4-8, middle, output 3'."),
            ],
            outputs=[
                io.Model.Output(display_name="model",
                    tooltip="For the sampler, or for the next Prompt-to-Prompt node."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: Any, prompts: Any, cross_start: float, cross_end: float, self_start: float,
        self_end: float, word_windows: str = "", layers: str = "all",
    ) -> io.NodeOutput:  # fmt: skip
        with naming("Word Swap"):
            cross, own = Window(cross_start, cross_end), Window(self_start, self_end)
            edit = TokenEdit("swap", cross, own, parse_word_windows(word_windows), LayerFilter(layers))
            return io.NodeOutput(with_edit(model, prompts, edit))


NODES = [P2PWordSwap]
