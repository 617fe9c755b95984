"""Supervision of one guest: from its state to the next step, until no step is left."""
