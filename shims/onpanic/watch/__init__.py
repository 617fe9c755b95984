"""Policies, carried out: what no libvirt does by itself, and what libvirt has missed.

::

    from onpanic.watch import Settings, watch_domains

    asyncio.run(watch_domains("qemu:///system", Settings(), print))

What is done about a guest follows from its policy and the state it is in *now*, looked at
before each step (`duty.next_step`), and from a short note of what was done already
(`journal`).  Events only say when to look.  So it does not matter in which order they
come, whether one is lost, twice there, or came while nobody watched; and a watcher that
is killed anywhere and started again goes on where the guest is.

Considered and left: acting on each event as it comes (every race of libvirt's becomes a
case of its own, and a lost event a lost guest), and doing everything here with libvirt's
``<on_crash>`` at ``preserve`` (then nothing happens where nobody watches, and libvirt is
good at what it does).  So libvirt keeps what it can do; the watcher waits until libvirt
is through, and does the rest.

    libvirt's events, QEMU's events --domains, monitors--> case: look, next step, do --report--> lines
        lines --text, JSON, hook, metrics--> operators
"""

from typing import TYPE_CHECKING

from onpanic.probe.lazy import loading

if TYPE_CHECKING:
    from .daemon import watch_domains, watch_monitors
    from .report import Line
    from .settings import Settings

__all__ = (  # noqa: RUF022
    # Most to least important
    "watch_domains",
    "watch_monitors",
    "Settings",
    "Line",
)

_HOMES = {
    "daemon": ("watch_domains", "watch_monitors"),
    "settings": ("Settings",),
    "report": ("Line",),
}
__getattr__, __dir__ = loading(__name__, _HOMES)
