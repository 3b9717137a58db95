"""The second host: the demo model in diffusers, edited through attention processors."""
