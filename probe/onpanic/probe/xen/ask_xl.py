"""Asks the ``xl`` of this dom0, and Linux what Xen says of itself.  Nothing is started, and nothing changed.

``xl create -n`` reads a guest's configuration as ``xl create`` does, and ends (xl(1)).
"""

import os
from collections.abc import Mapping
from pathlib import Path

from onpanic.core.errors import StartError
from onpanic.core.untrusted import printable
from onpanic.probe.xen.xen_conversation import ASKED_WORDS, XenAnswer, XenConversation
from onpanic.probe.xen.xl import run_xl

__all__ = ("SYSFS", "ask_xl", "guest_types_of")

#: What Linux knows of the Xen that it runs on (Documentation/ABI/stable/sysfs-hypervisor-xen).
SYSFS = Path("/sys/hypervisor")

_LIMIT = 4096  # characters of an answer

# Lines of xl that say nothing
_NOISE = ("Parsing config",)


def ask_xl(timeout: float, program: str = "xl", sysfs: Path = SYSFS) -> XenConversation:
    """Ask xl, and return what it said.

    :param timeout: Seconds that each call may take.
    :param program: The name or path of xl.
    :param sysfs: The folder of the hypervisor.
    :raise StartError: When this host does not run on Xen, is not its dom0, or xl cannot be run.
    :raise DeadlineError: When xl does not answer in time.
    """
    if _read(sysfs / "type") != "xen":
        raise StartError(
            "this host does not run on Xen", "run onpanic in a dom0, or name --connect xen://HOST"
        )
    version = ".".join(_read(sysfs / "version" / name) for name in ("major", "minor"))
    capabilities = _read(sysfs / "properties/capabilities")
    return XenConversation(
        toolstack="xl",
        version=version + _read(sysfs / "version/extra"),
        target=os.uname().machine,
        guest_types=guest_types_of(capabilities),
        types_from=f"Xen's capabilities: {capabilities}",
        words={word: _ask(program, word, timeout) for word in ASKED_WORDS},
    )


def guest_types_of(capabilities: str) -> Mapping[str, bool] | None:
    """Return which guests a Xen runs, by machine type; None if it does not say.

    ``xen-3.0-…`` stands for PV, ``hvm-3.0-…`` for HVM and PVH (``arch_get_xen_caps`` of Xen).  Xen on Arm
    has guests of one type, which it calls ``xen-3.0-…``; xl and libvirt run them as PVH and PV.

    :param capabilities: The words, such as ``xen-3.0-x86_64 hvm-3.0-x86_64``.
    """
    words = capabilities.split()
    if not words or not all("x86" in word for word in words):
        return None
    kinds = {word.partition("-")[0] for word in words}
    return {"xenpv": "xen" in kinds, "xenpvh": "hvm" in kinds, "xenfv": "hvm" in kinds}


def _ask(program: str, word: str, timeout: float) -> XenAnswer:
    """Return xl's answer to a guest with a crash action; an empty word for one without."""
    settings = ['name="onpanic"', 'type="pv"', 'kernel="/dev/null"', "memory=32"]
    settings += [f'on_crash="{word}"'] if word else []
    done = run_xl([program, "create", "-n", "/dev/null", *settings], timeout)
    if done.returncode == 0:
        return XenAnswer(accepted=True)
    lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith(_NOISE)]
    said = "; ".join(lines) or f"it exited with status {done.returncode}"
    return XenAnswer(accepted=False, said=printable(said, _LIMIT))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()[:_LIMIT]
    except OSError:
        return ""
