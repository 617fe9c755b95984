"""The module ``libvirt_qemu`` of a command that a test runs, see `tests.played.command`."""

from typing import Any

import libvirt

_module: Any = libvirt
globals().update(
    {
        name: value
        for name, value in vars(_module._modules["libvirt_qemu"]).items()
        if not name.startswith("__")
    }
)
