"""WHAT a registry holds: references, descriptors, manifests, image graphs. Pure."""
