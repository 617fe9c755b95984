"""An emulator as a program: its command line, and its process with everything that it starts."""
