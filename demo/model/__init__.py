"""The bundled demo model: its shape, its decoder, its weights."""
