"""A read-only registry that answers straight from verified bundle files."""
