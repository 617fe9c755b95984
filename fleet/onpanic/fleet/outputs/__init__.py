"""The record of a host in other forms: a screen, labels of a Kubernetes node, metrics.  Pure functions."""
