"""``python -m onpanic``, and the entry point of the command ``onpanic``."""

from onpanic.cli import console

if __name__ == "__main__":
    console()
