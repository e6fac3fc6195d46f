"""From a bundle file to elsewhere."""
