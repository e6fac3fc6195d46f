"""What a registry holds: references, descriptors, manifests with their raw bytes, and the graph they form. Pure."""
