"""Policies, and which of them are accepted: `rules.decide`, a pure function from facts."""
