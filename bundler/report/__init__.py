"""From a report to a reader: text and JSON."""
