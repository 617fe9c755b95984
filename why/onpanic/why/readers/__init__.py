"""Where last words are read: a file, a monitor, libvirt."""
