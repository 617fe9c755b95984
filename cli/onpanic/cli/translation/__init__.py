"""The commands ``onpanic to-libvirt`` and ``onpanic from-libvirt``: for one host, for a fleet, and for xl."""
