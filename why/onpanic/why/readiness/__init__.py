"""Whether a panic of a running guest would be reported, and could be read."""
