"""What all hosts of a fleet can promise, and which of them stand in the way."""
