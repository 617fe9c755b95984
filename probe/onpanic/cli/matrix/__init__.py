"""``onpanic matrix``: its subcommands, one module each, and what they share."""
