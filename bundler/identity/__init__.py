"""WHO signed: keys, certificates, certificate timestamps. Pure."""
