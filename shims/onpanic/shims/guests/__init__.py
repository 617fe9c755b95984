"""Running guests: explaining their state, and continuing a panicked guest."""
