"""The command ``onpanic to-libvirt``: for one host, for libvirts that are asked, and for a fleet."""
