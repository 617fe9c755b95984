"""Policies on today's libvirt and yesterday's QEMU.  Needs `onpanic.probe` only."""
