"""The pack's own socket types and what its nodes share."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "Prompt-to-Prompt"
Prompts = io.Custom("P2P_PROMPTS")
