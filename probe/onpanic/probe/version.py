"""The version, here because reading the installed metadata costs as much as importing all the rest."""

__version__ = "0.1.0"
