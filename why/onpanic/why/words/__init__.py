"""What a guest said last: the result of reading it, by kind of guest, and as text."""
