"""Finding a kernel's vmcoreinfo where QEMU has no note of it."""
