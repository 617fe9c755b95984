"""Sources of guests: a libvirt connection, or a list of QMP monitors.  They turn events into triggers."""
