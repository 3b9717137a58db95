"""The nodes, in one folder per topic, and `comfyui`, which knows the host."""
