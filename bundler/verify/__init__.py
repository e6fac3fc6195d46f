"""From a bundle file to a report, offline."""
