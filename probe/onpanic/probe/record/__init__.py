"""The capability record: read from conversations, shown on a screen, and with its evidence."""
