"""From sources to one bundle file."""
