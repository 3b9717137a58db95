"""The nodes, in one folder per topic, and `comfyui`, which knows the host."""

from comfy_api.latest import ComfyExtension, io

from . import demo, edit, real, view


class PromptToPrompt(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [*edit.NODES, *view.NODES, *real.NODES, *demo.NODES]
