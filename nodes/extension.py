"""The list of nodes that ComfyUI asks for."""

from comfy_api.latest import ComfyExtension, io

from . import demo, edit, real, view


class PromptToPrompt(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [*edit.NODES, *view.NODES, *real.NODES, *demo.NODES]
