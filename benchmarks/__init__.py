"""Measurements: speed and hosts, edit quality, real pictures. Each is a command of the Makefile."""
