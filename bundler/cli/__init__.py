"""The command line. Only click, no decisions."""
