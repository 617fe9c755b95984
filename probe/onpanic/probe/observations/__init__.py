"""What conversations show: machine types, devices, panics, ACPI tables.  Pure functions.

Facts are read from observations, and while an emulator is asked they decide what to ask next.
"""
