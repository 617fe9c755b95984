"""Which policies all hosts of a fleet keep, and why some hosts do not."""
