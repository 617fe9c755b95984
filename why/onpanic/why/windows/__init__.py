"""Windows guests: bugcheck codes, and the header of a crash dump."""
