"""What ComfyUI sees: nodes by topic, each file a schema and a few lines, and the wing that knows the host."""
