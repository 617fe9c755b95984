"""Many QEMU builds beside each other.  Needs `onpanic.probe` and `onpanic.shims` only."""
