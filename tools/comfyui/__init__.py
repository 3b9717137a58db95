"""Finds ComfyUI, and runs a server or the host suite on it."""
