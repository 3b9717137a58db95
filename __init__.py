"""Prompt-to-Prompt for ComfyUI: change words of a prompt, keep the picture."""

from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> ComfyExtension:
    from .nodes.extension import PromptToPrompt

    return PromptToPrompt()
