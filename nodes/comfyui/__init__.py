"""Everything that knows the host: how plans, rows and conditionings reach ComfyUI."""
