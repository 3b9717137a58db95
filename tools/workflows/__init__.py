"""Builds the example workflows."""
