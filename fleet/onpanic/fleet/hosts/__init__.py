"""What one host can do: its record."""
