"""What hosts can promise: pure functions from their records."""
