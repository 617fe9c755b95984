"""What a policy becomes on libvirt, and the way back."""
