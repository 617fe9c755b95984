"""``onpanic fleet``: a module for each subcommand, and how they read a fleet and name its hosts."""
