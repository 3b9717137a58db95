"""Demo Model: the bundled model, so that every example runs without a download, even on a CPU."""

from __future__ import annotations

from comfy_api.latest import io

from ..comfyui.advice import naming
from ..shared.types import DEMO, found_by


class P2PDemoModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PDemoModel",
            display_name="P2P Demo Model",
            category=DEMO,
            **found_by("checkpoint", "example"),
            description="The pack's own small text-to-image model, in place of Load Checkpoint: coloured "
            "shapes and simple things on plain backgrounds, best at 256 × 256. It knows captions like "
            '"a red circle and a small blue star on grass" and nothing else.',
            inputs=[],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="For the sampler, through the P2P nodes."),
                io.Clip.Output(
                    display_name="CLIP", tooltip="Its text encoder: 77 tokens, a small vocabulary."
                ),
                io.Vae.Output(
                    display_name="VAE", tooltip="Its latent is the image at an eighth of the size."
                ),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        # Imported here, so that the other nodes still load if a ComfyUI version breaks the model loader.
        from ..comfyui.demo_model import load

        with naming("Demo Model"):
            return io.NodeOutput(*load())


NODES = [P2PDemoModel]
