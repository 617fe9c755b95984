"""The version.  It is written here because reading the installed metadata takes milliseconds."""

__all__ = ("PROGRAM", "__version__")

#: The version of onpanic.
__version__ = "0.2.0.dev0"

#: What records and recordings say that they were made by.
PROGRAM = f"onpanic {__version__}"
