"""Trains and checks the demo model."""
