"""What libvirt's Xen driver, and Xen itself where it can be asked, tell of a domain.

libvirt forgets that a domain has crashed when its daemon is restarted, and when it is told to suspend or
resume it; it then says that the domain runs, or is paused.  ``xl`` in the dom0 knows the truth.  From
elsewhere only a CPU time that goes on shows that a guest runs.
"""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from onpanic.core.errors import EmulatorError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.elements import child, text_of
from onpanic.shims.guests.xl_state import XlState, ask_xl_state
from onpanic.shims.translation.local_uri import local_parts

__all__ = ("XenDomain", "cpus_run", "observe_xen_domain", "working_since")

_TRIES = 3  # to read everything between two changes of the state
_PAUSE = 0.1  # seconds between two readings of the CPU time
_XL, _WATCH = 0.5, 0.1  # of the time that an answer may take: xl's share, and how long a CPU time is watched


class XenDomain(msgspec.Struct, frozen=True, kw_only=True):
    """A domain of libvirt's Xen driver.

    :param state: libvirt's state, a ``virDomainState``.
    :param reason: The reason of that state.
    :param number: Its domain ID: Xen has it in memory, or libvirt believes so; negative if it has none.
    :param persistent: Whether libvirt keeps its definition when it ends.
    :param on_crash: What its ``<on_crash>`` says; empty for libvirt's default, destroy.
    :param is_pv: Whether it is a PV guest.
    :param worked: Milliseconds for which libvirt has been working on it, such as on a dump; None if it is
        not.
    :param xl: What Xen says; None if it was not asked.
    :param not_asked: Why Xen was not asked although it matters; empty otherwise.
    :param cpus_run: Whether its CPUs were seen to run; None if nobody looked.
    """

    state: int
    reason: int
    number: int = 1
    persistent: bool = True
    on_crash: str = ""
    is_pv: bool = True
    worked: int | None = None
    xl: XlState | None = None
    not_asked: str = ""
    cpus_run: bool | None = None

    @property
    def active(self) -> bool:
        """Whether it has a domain ID."""
        return self.number >= 0


def observe_xen_domain(
    domain: Any,
    ask: Callable[[int, str], XlState] | None = None,
    pause: Callable[[float], None] = time.sleep,
    timeout: float = 10.0,
) -> XenDomain:
    """Read a domain's state, and ask Xen what only Xen knows.  Blocks as libvirt does; nothing is changed.

    If Xen cannot be asked about a domain that libvirt says is running, its CPU time is watched for up to a
    tenth of the timeout.

    :param domain: A `libvirt.virDomain`; its connection may be read-only.
    :param ask: Asks Xen about a domain ID and a UUID, see `ask_xl_state`; None to run xl if this host is the
        dom0.
    :param pause: Waits for a number of seconds.
    :param timeout: Seconds that the answer may take; xl has half of them.
    :raise libvirt.libvirtError: When libvirt does not tell.
    """
    libvirt = libvirt_module()
    for _ in range(_TRIES):
        state, reason = domain.state()
        number = _number(domain)
        job, elapsed = domain.jobInfo()[:2]
        root = Document(domain.XMLDesc()).root
        xl, not_asked = _ask_xen(domain, number, ask, _XL * timeout) if number >= 0 else (None, "")
        if domain.state() == [state, reason] and _number(domain) == number:
            break
    known = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_PAUSED)
    looks = xl is None and number >= 0 and state not in known
    return XenDomain(
        state=state,
        reason=reason,
        number=number,
        persistent=bool(domain.isPersistent()),
        on_crash=text_of(child(root, "on_crash")),
        is_pv=text_of(child(root, "os", "type")) == "linux",
        worked=None if job == libvirt.VIR_DOMAIN_JOB_NONE else elapsed,
        xl=xl,
        not_asked=not_asked,
        cpus_run=cpus_run(lambda: int(domain.info()[4]), pause, _WATCH * timeout) if looks else None,
    )


def cpus_run(read: Callable[[], int], pause: Callable[[float], None], seconds: float) -> bool:
    """Return whether a CPU time goes on.

    :param read: Reads it.
    :param pause: Waits for a number of seconds.
    :param seconds: How long to watch it.
    """
    first = read()
    for _ in range(math.ceil(seconds / _PAUSE)):
        pause(_PAUSE)
        if read() != first:
            return True
    return False


def working_since(seen: XenDomain, now: datetime) -> str | None:
    """Return since when libvirt has been working on a domain (UTC, RFC 3339); None if it is not.

    :param seen: The domain.
    :param now: The time at which it was observed.
    """
    if seen.worked is None:
        return None
    begin = now.astimezone(UTC) - timedelta(milliseconds=seen.worked)
    return begin.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _number(domain: Any) -> int:
    """Return a domain's ID; negative if it has none.  A `libvirt.virDomain` keeps the one it was found by."""
    return int(domain.connect().lookupByUUIDString(domain.UUIDString()).ID())


def _ask_xen(
    domain: Any, number: int, ask: Callable[[int, str], XlState] | None, timeout: float
) -> tuple[XlState | None, str]:
    if ask is None:
        if local_parts(domain.connect()) is None:
            return None, "its dom0 is another host"
        ask = partial(ask_xl_state, timeout=timeout)
    try:
        return ask(number, domain.UUIDString()), ""
    except EmulatorError as error:
        return None, error.message
