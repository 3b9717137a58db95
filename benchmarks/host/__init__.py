"""Measurements inside ComfyUI: overhead, samplers, precision, random inputs."""
