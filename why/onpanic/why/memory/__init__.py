"""Guest memory: what is read of it, within which limits, and where it comes from."""
