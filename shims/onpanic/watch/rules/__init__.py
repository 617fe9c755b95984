"""Rules: what is done about a guest, and when; and the settings that they depend on.

Only the reading of the settings does I/O, and nothing here reads a clock.
"""
