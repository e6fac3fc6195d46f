"""The bundle file: its headers, its inventory, its frames, one writer and one reader. FORMAT.md is the authority."""
