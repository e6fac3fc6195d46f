"""Simulators: what the real world would send, made in memory or in a folder by plain functions."""
