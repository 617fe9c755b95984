"""Making the record of this host: finding its emulators, and asking them, libvirt and KVM."""
