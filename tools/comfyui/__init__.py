"""Where ComfyUI is, and how to run a server or the host suite on it."""
