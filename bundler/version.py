"""The version of the tool and of the one format that it writes. Nothing is imported, so start-up stays lean."""

VERSION = "0.1.0"
FORMAT_VERSION = 1
TOOL = f"sealift {VERSION}"
