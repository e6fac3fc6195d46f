"""Tests. Simulators and helpers are imported as `tests.simulators.…`."""
