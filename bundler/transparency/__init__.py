"""PROOF that something was logged: log entries, promises, Merkle proofs. Pure."""
