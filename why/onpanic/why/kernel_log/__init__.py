"""A Linux kernel's log in memory, and what it says about a panic."""
