"""WHAT IS CLAIMED: envelopes, statements, signatures, and what binds them to an image. Pure."""
