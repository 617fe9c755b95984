"""Carries out policies: what libvirt does not do by itself, and what it has missed.

::

    from onpanic.watch import Settings, watch_domains

    asyncio.run(watch_domains("qemu:///system", Settings(), print))

The next action for a guest follows from its policy, from the state in which it is observed, and from
a short journal of what has been done: `rules.reconcile` is a pure function of these, of the settings
and of the time.  Events only say when to observe.  So their order does not matter, nor whether one is
lost or comes twice, and a watcher that is killed at any moment and started again continues where the
guest is.

Two other designs were rejected.  Acting on each event as it comes needs code for each of libvirt's
races, and loses a guest with each lost event.  Doing everything here, with libvirt's
``<on_crash>`` at ``preserve``, leaves guests alone wherever no watcher runs.  So libvirt keeps what
it can do; the watcher waits until libvirt is done, and does the rest.

The sub-packages, in the direction of imports::

    rules → reporting → guests → supervision → sources → daemon

    rules        pure: what is done about a guest, and what is said of it
    reporting    log lines, hook, metrics, service manager
    guests       a domain or a QMP monitor as a guest: its state is read, and steps are taken
    supervision  the loop of one guest: observer, reconcile, actuator, journal
    sources      all domains of a libvirt, or all monitors; events trigger supervisors
    daemon       the lock, reloads, the end
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onpanic.core.errors import SettingsError
    from onpanic.watch.daemon import watch_domains, watch_monitors
    from onpanic.watch.reporting.lines import Line
    from onpanic.watch.reporting.watch_result import WatchResult
    from onpanic.watch.rules.settings import Settings
else:
    from onpanic.core.lazy_imports import lazy_imports

    __getattr__, __dir__ = lazy_imports(
        __name__,
        {
            "onpanic.core.errors": ("SettingsError",),
            "onpanic.watch.daemon": ("watch_domains", "watch_monitors"),
            "onpanic.watch.reporting.lines": ("Line",),
            "onpanic.watch.reporting.watch_result": ("WatchResult",),
            "onpanic.watch.rules.settings": ("Settings",),
        },
    )

__all__ = (  # noqa: RUF022
    # Most to least important
    "watch_domains",
    "watch_monitors",
    "Settings",
    "Line",
    "WatchResult",
    # Exceptions
    "SettingsError",
)
