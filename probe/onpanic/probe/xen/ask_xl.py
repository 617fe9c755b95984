"""Asks the ``xl`` of this dom0, and Linux what Xen says of itself.  Nothing is started, and nothing changed.

``xl create -n`` reads a guest's configuration as ``xl create`` does, and ends (xl(1)).
"""

import os
from collections.abc import Mapping
from pathlib import Path

from onpanic.core.errors import DeadlineError, StartError
from onpanic.core.untrusted import printable
from onpanic.probe.xen.xen_below import SYSFS, xen_below
from onpanic.probe.xen.xen_conversation import ASKED_WORDS, XenAnswer, XenConversation
from onpanic.probe.xen.xl import run_xl

__all__ = ("ask_xl", "guest_types_of")

_LIMIT = 4096  # characters of an answer

# Lines of xl that say nothing
_NOISE = ("Parsing config",)


def ask_xl(timeout: float, program: str = "xl", sysfs: Path = SYSFS) -> XenConversation:
    """Ask xl, and return what it said.

    If it does not answer, or refuses everything, the conversation has what Linux knows.

    :param timeout: Seconds that each call may take.
    :param program: The name or path of xl.
    :param sysfs: The folder of the hypervisor.
    :raise StartError: When this host does not run on Xen, is not its dom0, or xl cannot be run.
    """
    xen = xen_below(sysfs)
    if xen is None:
        hint = "run it in a dom0, or ask another host: --connect xen://HOST/system"
        raise StartError("this host does not run on Xen", hint, missing=True)
    if xen.is_dom0 is False:
        raise StartError("this is a guest of Xen, not its dom0", "run it in the dom0", missing=True)
    words, problems = _answers(program, timeout)
    return XenConversation(
        toolstack="xl",
        version=xen.version,
        target=os.uname().machine,
        guest_types=guest_types_of(xen.capabilities),
        types_from=f"Xen's capabilities: {xen.capabilities}",
        words=words,
        problems=problems,
    )


def guest_types_of(capabilities: str) -> Mapping[str, bool] | None:
    """Return which guests a Xen runs, by machine type; None if it does not say.

    On x86 ``xen-3.0-…`` stands for PV, which Xen may be built without, and ``hvm-3.0-…`` for HVM and PVH,
    which need the CPU's help (``arch_get_xen_caps``, later ``init_xen_cap_info``, in Xen's setup.c).  On Arm
    all guests are ``xen-3.0-…``, and libxl makes PVH of PV (libxl_arm.c): the words do not say which types it
    takes.

    :param capabilities: The words, such as ``xen-3.0-x86_64 hvm-3.0-x86_64``.
    """
    words = capabilities.split()
    if not words or not all("x86" in word for word in words):
        return None
    kinds = {word.partition("-")[0] for word in words}
    return {"xenpv": "xen" in kinds, "xenpvh": "hvm" in kinds, "xenfv": "hvm" in kinds}


def _answers(program: str, timeout: float) -> tuple[Mapping[str, XenAnswer], tuple[str, ...]]:
    """Return xl's answers by word, and what kept it from giving more."""
    words: dict[str, XenAnswer] = {}
    try:
        for word in ASKED_WORDS:
            words[word] = _ask(program, word, timeout)
            if not words[""].accepted:
                return words, ()  # it refuses every guest, whatever is in it
        last = _ask(program, "", timeout)
    except DeadlineError as error:
        return words, (f"{error.message}; {error.hint}",)
    # What refuses every guest now may have been the reason of any refusal
    return words if last.accepted else {"": last}, ()


def _ask(program: str, word: str, timeout: float) -> XenAnswer:
    """Return xl's answer to a guest with a crash action; an empty word for one without."""
    settings = ['name="onpanic"', 'type="pv"', 'kernel="/dev/null"', "memory=32"]
    settings += [f'on_crash="{word}"'] if word else []
    done = run_xl([program, "create", "-n", "/dev/null", *settings], timeout)
    if done.returncode == 0:
        return XenAnswer(accepted=True)
    lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith(_NOISE)]
    said = printable("; ".join(lines), _LIMIT) or f"it ended with status {done.returncode}"
    return XenAnswer(accepted=False, said=said)
