"""``python -m onpanic``."""

from onpanic.cli import console

console()
