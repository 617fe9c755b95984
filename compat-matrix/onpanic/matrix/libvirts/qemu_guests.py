"""Guests of QEMU that panic when the monitor writes to the port of their panic device.

They have no disk, 16 MiB and no accelerator.  Their firmware finds nothing to boot and waits.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from onpanic.core.libvirt_api import (
    deregister_monitor_events,
    libvirt_module,
    monitor_command,
    register_monitor_events,
)
from onpanic.core.untrusted import printable
from onpanic.matrix.libvirts.guest_driver import LogForDomain
from onpanic.matrix.libvirts.guest_files import kill_qemu, newest_format, qemu_logs, remove_guest_files
from onpanic.matrix.libvirts.libvirt_conversation import LogEntry
from onpanic.matrix.libvirts.libvirt_names import ACTIONS
from onpanic.matrix.libvirts.libvirt_questions import NO_MODEL, GuestPlan, filled, plans_of_words
from onpanic.matrix.libvirts.libvirt_record import DumpFormat, GuestQemu
from onpanic.matrix.libvirts.libvirt_session import LibvirtSession
from onpanic.matrix.libvirts.started_guest import StartedGuest
from onpanic.shims.guests.dump_folder import dump_folder

__all__ = ("DOCUMENTS", "MODELS", "PANIC_COMMAND", "QemuGuests", "qemu_plans")

#: Writes "panicked" to the port of the ISA device, as a guest would (docs/specs/pvpanic of QEMU).
PANIC_COMMAND = "o /b 0x505 1"

#: The models of ``<panic>``; ``default`` is a machine type's own one.
MODELS = (NO_MODEL, "isa", "pvpanic", "hyperv", "pseries", "s390", "default")

# Only x86 has the ISA device, which panics without code in the guest
_ARCH, _MACHINE = "x86_64", "pc"

_DOMAIN = (
    "<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory>"
    f"<os><type arch='{_ARCH}' machine='{_MACHINE}'>hvm</type></os>"
    "{lifecycle}<devices>{devices}</devices></domain>"
)

#: The documents: one that libvirt is asked about, and that of a guest.
DOCUMENTS = {
    "asked": _DOMAIN.replace("{name}", "onpanic"),
    "guest": _DOMAIN.replace("{devices}", "<panic model='isa'/>"),
}

_RUNS = "preserve-running"
_PAUSED, _SHUTTING_DOWN = 3, 4  # virDomainState
_CRASHED = 8  # virDomainEventType


def qemu_plans(accepted: Collection[str]) -> list[GuestPlan]:
    """Return the guests to start.

    :param accepted: The values of ``<on_crash>`` that libvirt accepts.
    """
    words = [word for word in ACTIONS if word in accepted]
    plans = plans_of_words(accepted)
    usual = "destroy"  # libvirt's default for <on_crash>
    if usual in words:
        plans += [GuestPlan(usual, persistent=False, set_live=word) for word in ACTIONS if word != usual]
        plans += [GuestPlan(word, persistent=False, set_live=usual) for word in words if word != usual]
    if _RUNS in words:  # QEMU's panic action must change, too
        plans += [
            GuestPlan(_RUNS, persistent=False, set_live=word) for word in words if word not in (_RUNS, usual)
        ]
    if "restart" in words:
        plans.append(GuestPlan("restart", persistent=False, on_reboot="destroy"))
    return plans


class QemuGuests:
    """libvirt's QEMU driver; see `GuestDriver`."""

    native = "qemu-argv"
    documents: Mapping[str, str] = DOCUMENTS
    models: Sequence[str] = MODELS
    needs = "libvirt needs a QEMU for x86_64 that runs without KVM, such as the package qemu-system-x86"

    def __init__(self, session: LibvirtSession) -> None:
        self._session = session
        self._monitor = ""  # the path of a guest's monitor

    @property
    def start_flags(self) -> int:
        """Flags by which libvirt ends the guests if this process is killed."""
        return int(libvirt_module().VIR_DOMAIN_START_AUTODESTROY)

    def plans(self, accepted: Collection[str]) -> list[GuestPlan]:
        """See `qemu_plans`."""
        return qemu_plans(accepted)

    @contextlib.contextmanager
    def files(self) -> Iterator[None]:
        """Guests need none."""
        yield

    def xml(self, guest: StartedGuest) -> str:
        """Return a document with a panic device."""
        return filled(DOCUMENTS["guest"], name=guest.name, lifecycle=guest.plan.lifecycle)

    @contextlib.contextmanager
    def events(self, note: LogForDomain) -> Iterator[None]:
        """Log QEMU's event that a guest has panicked."""
        connection = self._session.connection

        def panicked(domain: Any, _event: str, details: str | None) -> None:
            note(domain, "panicked", details or "")

        number = self._session.call(lambda: register_monitor_events(connection, "^GUEST_PANICKED$", panicked))
        try:
            yield
        finally:
            self._session.attempt(lambda: deregister_monitor_events(connection, number))

    def about(self, guests: Sequence[StartedGuest]) -> GuestQemu:
        """Return what a guest's QEMU says of its version; empty if none runs."""
        version: dict[str, Any] = {}
        for guest in guests:
            if guest.domain is None:
                continue
            version = self._query(guest.domain, "query-version") or {}
            devices = self._query(guest.domain, "query-chardev") or []
            names = [str(one.get("filename", "")) for one in devices if one.get("label") == "charmonitor"]
            if version and names:
                self._monitor = names[0].removeprefix("unix:").partition(",")[0]
                break
        numbers = version.get("qemu", {})
        return GuestQemu(
            version=".".join(str(numbers.get(part, "")) for part in ("major", "minor", "micro"))
            if numbers
            else "",
            package=printable(str(version.get("package", "")), 200),
            arch=_ARCH,
            machine=_MACHINE,
        )

    def panic(self, guest: StartedGuest) -> str:  # noqa: ARG002
        """Return the monitor command."""
        return f"human-monitor-command: {PANIC_COMMAND}"

    def make_panic(self, guest: StartedGuest) -> None:
        """Send the monitor command."""
        message = {"execute": "human-monitor-command", "arguments": {"command-line": PANIC_COMMAND}}
        monitor_command(guest.domain, message)

    def handled(self, guest: StartedGuest) -> bool:
        """Return whether the guest has ended, or its panic was reported and its state is a lasting one."""
        if guest.ended:
            return True
        state = guest.last_state
        passing = state is None or state[0] in (_PAUSED, _SHUTTING_DOWN)
        return not passing and guest.has("event", _CRASHED)

    def run_state(self, guest: StartedGuest) -> LogEntry:
        """Return QEMU's run state, or libvirt's refusal.

        libvirt sends no monitor command while it handles a panic, so what it does is done afterwards.
        """
        message = {"execute": "query-status"}
        answer, refusal = self._session.attempt(lambda: monitor_command(guest.domain, message))
        if refusal:
            return LogEntry("unanswered", refusal=refusal)
        return LogEntry("status", str((answer or {}).get("return", {}).get("status", "")))

    def dump_of(self, name: str) -> DumpFormat:
        """Look into the folder that libvirt's qemu.conf names."""
        return newest_format(self._dumps(), name)

    def kill(self, name: str) -> None:
        """Kill the QEMU of a guest."""
        kill_qemu(name)

    def remove_files(self, names: Sequence[str]) -> None:
        """Remove core dumps and logs, wherever the configuration puts them."""
        remove_guest_files(self._dumps(), qemu_logs(self._monitor), names)

    def _dumps(self) -> Path:
        # In session mode …/libvirt/qemu/lib/domain-1-guest/monitor.sock: its libvirt may be another user's
        session = Path(self._monitor).parents[3] if self._monitor.count("/") > 4 else None
        uri = str(self._session.call(self._session.connection.getURI))
        return Path(dump_folder(uri, session=session))

    def _query(self, domain: Any, command: str) -> Any:
        """Return the answer to a QMP command; None if there is none."""
        answer, _ = self._session.attempt(lambda: monitor_command(domain, {"execute": command}))
        return answer.get("return") if answer else None
