"""A Linux kernel in memory: what it says about itself, and its address space."""
