"""Where the emulators of a host are looked for, and what their programs are called."""

import re
from pathlib import Path

__all__ = ("EMULATOR_NAME", "FIXED_FOLDERS")

#: Where distributions install emulators; RHEL does so outside the PATH.
FIXED_FOLDERS = (Path("/usr/bin"), Path("/usr/libexec"))

#: Matches the whole name of a program that is an emulator.
EMULATOR_NAME = re.compile(r"qemu-system-.+|qemu-kvm|kvm", re.DOTALL)
