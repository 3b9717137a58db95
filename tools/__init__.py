"""What the developers run: finding ComfyUI, example workflows, pictures of the nodes."""
