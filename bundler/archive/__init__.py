"""THE FILE: one signed, compressed tar that a stranger can read."""
