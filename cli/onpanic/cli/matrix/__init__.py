"""``onpanic matrix``: one module for each subcommand, and `folder`, which builds a folder of records."""
