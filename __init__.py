"""Prompt-to-Prompt for ComfyUI: change words of a prompt, keep the picture."""

from comfy_api.latest import ComfyExtension, io

WEB_DIRECTORY = "./web"


class PromptToPrompt(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from .nodes import (
            attention_maps,
            attention_store,
            blend_mask,
            compare,
            demo_model,
            demo_picture,
            invert,
            local_blend,
            null_text,
            pair_conditioning,
            prompt_edit,
            prompt_pair,
            real_image,
            refine,
            reweight,
            self_attention_components,
            split_pair,
            trajectory_files,
            word_swap,
        )

        files = (
            prompt_pair,
            pair_conditioning,
            prompt_edit,
            word_swap,
            refine,
            reweight,
            local_blend,
            blend_mask,
            attention_store,
            attention_maps,
            self_attention_components,
            split_pair,
            compare,
            invert,
            null_text,
            real_image,
            trajectory_files,
            demo_model,
            demo_picture,
        )
        return [node for file in files for node in file.NODES]


async def comfy_entrypoint() -> ComfyExtension:
    return PromptToPrompt()
