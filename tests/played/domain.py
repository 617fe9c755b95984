"""A domain of the played libvirt: what a test does to it, and what libvirt does about that."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from .client import make_error
from .constants import LIBVIRT as C
from .qemu_monitor import answer

if TYPE_CHECKING:
    from .libvirt import PlayedLibvirt

__all__ = ("PlayedDomain",)

SECOND = 1_000_000_000  # nanoseconds

_ACTIONS = {  # virDomainLifecycleAction
    0: "destroy",
    1: "restart",
    2: "rename-restart",
    3: "preserve",
    4: "coredump-destroy",
    5: "coredump-restart",
}
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
_RESET_REQUIRED = "Resetting the Virtual Machine is required"


class PlayedDomain:
    """A domain.  Its methods without a docstring are calls of libvirt's API, for `virDomain`.

    :ivar name: The domain's name.
    :ivar uuid: Its UUID.
    :ivar id: Its id; -1 while it is off.
    :ivar state: libvirt's state and reason.
    :ivar run_state: QEMU's run state; empty while there is no QEMU.
    :ivar persistent: False for a transient domain, which is gone when it stops.
    :ivar cpu_time: How long its vCPU has run, in nanoseconds.
    :ivar job: The type of the job that libvirt shows.
    :ivar occupied: True while libvirt talks to its QEMU, in no job that it shows.
    :ivar progress: How many bytes of how many a running dump has written.
    :ivar resumable: False for a QEMU in which ``cont`` fails after a panic.
    :ivar dump_fails: What libvirt says when it cannot dump the memory; empty if it can.
    :ivar dump_formats: The numbers of the formats that its QEMU offers.
    :ivar failing_formats: What libvirt says when a dump in a format fails, by its number.
    :ivar dumps: The paths of the dumps that were made.
    :ivar answers: What QEMU's monitor returns, by command, beside ``query-status`` and ``query-version``.
    :ivar monitor_commands: What was sent to the monitor by `libvirt_qemu.qemuMonitorCommand`.
    """

    def __init__(self, server: PlayedLibvirt, xml: str, *, persistent: bool) -> None:
        root = ET.fromstring(xml)
        self.server = server
        self.name = root.findtext("name") or ""
        self.uuid = (root.findtext("uuid") or str(uuid.uuid4())).lower()
        if root.find("uuid") is None:
            xml = xml.replace("</name>", f"</name>\n  <uuid>{self.uuid}</uuid>", 1)
        self.id = -1
        self.state = (C["VIR_DOMAIN_SHUTOFF"], C["VIR_DOMAIN_SHUTOFF_UNKNOWN"])
        self.run_state = ""
        self.persistent = persistent
        self.gone = False
        self.cpu_time = 0
        self.job = C["VIR_DOMAIN_JOB_NONE"]
        self.occupied = False
        self.progress = (0, 16 << 20)
        self.resumable = True
        self.dump_fails = ""
        self.dump_formats: tuple[int, ...] = (0, 1, 4)
        self.failing_formats: dict[int, str] = {}
        self.dumps: list[str] = []
        self.answers: dict[str, Any] = {}
        self.monitor_commands: list[str] = []
        self._live = self._configured = xml

    @property
    def active(self) -> bool:
        """True while it has a QEMU."""
        return self.id != -1

    @property
    def on_crash(self) -> str:
        """What libvirt does after a panic."""
        return self._root().findtext("on_crash") or "destroy"

    # What a test does

    def panic(self, *, info: dict[str, Any] | None = None, suspended_first: bool = False) -> None:
        """Panic.  Without a panic notifier nobody notices.

        :param info: What QEMU knows of the panic.
        :param suspended_first: libvirt reports first that the guest was suspended, as it does at times.
        """
        with self.server.lock:
            assert self.run_state == "running", f"{self.name} is {self.run_state or 'off'}"
            self.cpu_time += SECOND
            arguments = [argument.get("value", "") for argument in self._root().iter(f"{_QEMU}arg")]
            if self._root().find("devices/panic") is None and not any("pvpanic" in a for a in arguments):
                return
            word = self.on_crash
            runs = any("panic=none" in a for a in arguments) or word == "preserve-running"
            data = {"action": "run" if runs else "pause", **({"info": info} if info else {})}
            self.server.monitor_event(self, "GUEST_PANICKED", data)
            if not runs:
                self.run_state = "guest-panicked"
                self.server.monitor_event(self, "STOP")
            if suspended_first:
                self._lifecycle("SUSPENDED", "PAUSED")
            self._set("CRASHED", "PANICKED")
            self._lifecycle("CRASHED", "PANICKED")
            self._act(word)

    def crashload(self) -> None:
        """Report that the guest's crash kernel takes over; it runs on."""
        with self.server.lock:
            self.server.monitor_event(self, "GUEST_CRASHLOADED", {"action": "run"})
            self._lifecycle("CRASHED", "CRASHLOADED")

    def stop(self, run_state: str = "internal-error") -> None:
        """Stop without libvirt's doing, for a reason that only QEMU knows."""
        with self.server.lock:
            self.run_state = run_state
            self._set("PAUSED", "UNKNOWN")
            self._lifecycle("SUSPENDED", "PAUSED")

    def end(self) -> None:
        """Be turned off by the guest."""
        with self.server.lock:
            self._stopped("SHUTDOWN", "SHUTDOWN")

    def kill(self) -> None:
        """Lose the QEMU process, as by ``kill -9``."""
        with self.server.lock:
            self._stopped("CRASHED", "FAILED")

    def redefine(self, xml: str, *, live: bool = False) -> None:
        """Change the configuration, as ``virsh edit`` does.

        :param xml: The new XML; the name and the UUID must stay.
        :param live: Change the running domain too, which libvirt does for some parts.
        """
        with self.server.lock:
            if "<uuid>" not in xml:
                xml = xml.replace("</name>", f"</name>\n  <uuid>{self.uuid}</uuid>", 1)
            self._configured = xml
            if live or not self.active:
                self._live = xml
            self._lifecycle("DEFINED", "UPDATED")

    def set_metadata(self, old: str, new: str) -> None:
        """Replace a part of the XML, live and configured, as ``virsh metadata`` does."""
        with self.server.lock:
            self._live, self._configured = (xml.replace(old, new) for xml in (self._live, self._configured))
            self.server.event(self, C["VIR_DOMAIN_EVENT_ID_METADATA_CHANGE"], 2, "played")

    # libvirt's API

    def description(self, *, inactive: bool) -> str:
        return self._configured if inactive or not self.active else self._live

    def start(self, *, paused: bool = False) -> int:
        if self.active:
            raise self._invalid("domain is already running")
        self._live = self._configured
        self.id = self.server.next_id()
        self.cpu_time, self.job = 0, C["VIR_DOMAIN_JOB_NONE"]
        if paused:
            self.run_state = "prelaunch"
            self._set("PAUSED", "USER")
        else:
            self.run_state = "running"
            self._set("RUNNING", "BOOTED")
            self._lifecycle("RESUMED", "UNPAUSED")
        self._lifecycle("STARTED", "BOOTED")
        if paused:
            self._lifecycle("SUSPENDED", "PAUSED")
        return 0

    def destroy(self) -> int:
        self._check_active()
        self._stopped("DESTROYED", "DESTROYED")
        return 0

    def reset(self) -> int:
        self._check_active()
        self._check_no_job()
        self._reset()
        return 0

    def resume(self) -> int:
        self._check_active()
        self._check_no_job()
        if self.run_state == "running":
            return 0  # and a domain that libvirt takes for crashed stays so
        if self.state[0] == C["VIR_DOMAIN_RUNNING"]:
            raise self._invalid("domain is already running")
        if self.run_state == "internal-error" or (self.run_state == "guest-panicked" and not self.resumable):
            message = f"internal error: unable to execute QEMU command 'cont': {_RESET_REQUIRED}"
            raise make_error(self.server, C["VIR_ERR_INTERNAL_ERROR"], message)
        self._run("UNPAUSED")
        return 0

    def suspend(self) -> int:
        self._check_active()
        self._check_no_job()
        if self.state[0] != C["VIR_DOMAIN_PAUSED"]:
            self.run_state = "paused"
            self._set("PAUSED", "USER")
            self._lifecycle("SUSPENDED", "PAUSED")
        return 0

    def rename(self, name: str) -> int:
        if self.active:
            raise self._invalid("cannot rename active domain")
        if not self.persistent:
            raise self._invalid("cannot rename a transient domain")
        if any(domain.name == name for domain in self.server.domains):
            message = f"operation failed: domain '{name}' already exists with uuid"
            raise make_error(self.server, C["VIR_ERR_OPERATION_FAILED"], message)
        self._lifecycle("UNDEFINED", "RENAMED")
        pattern, element = re.compile("<name>.*?</name>", re.DOTALL), f"<name>{escape(name)}</name>"
        self._live = self._configured = pattern.sub(lambda _: element, self._configured, count=1)
        self.name = name
        self._lifecycle("DEFINED", "RENAMED")
        return 0

    def undefine(self) -> int:
        if not self.persistent:
            raise self._invalid("cannot undefine transient domain")
        self.persistent = False
        self._lifecycle("UNDEFINED", "REMOVED")
        if not self.active:
            self._forget()
        return 0

    def set_action(self, event: int, action: int, flags: int) -> int:
        if action not in _ACTIONS:
            message = f"invalid argument: invalid lifecycle action '{action}'"
            raise make_error(self.server, C["VIR_ERR_INVALID_ARG"], message)
        if action == C["VIR_DOMAIN_LIFECYCLE_ACTION_RESTART_RENAME"]:
            message = "qemu driver doesn't support the 'rename-restart' action for 'on_crash'"
            full = f"unsupported configuration: {message}"
            raise make_error(self.server, C["VIR_ERR_CONFIG_UNSUPPORTED"], full)
        tag = ("on_poweroff", "on_reboot", "on_crash")[event]
        if flags & C["VIR_DOMAIN_AFFECT_LIVE"] or (not flags and self.active):
            self._check_active()
            self._check_no_job()
            self._live = _with_action(self._live, tag, _ACTIONS[action])
        if flags & C["VIR_DOMAIN_AFFECT_CONFIG"] or not self.active:
            self._configured = _with_action(self._configured, tag, _ACTIONS[action])
        return 0

    def job_stats(self) -> dict[str, int]:
        self._check_active()
        if self.job == C["VIR_DOMAIN_JOB_NONE"]:
            return {"type": self.job}
        done, total = self.progress
        return {"type": self.job, "memory_processed": done, "memory_total": total}

    def control_info(self) -> list[int]:
        self._check_active()
        return [C["VIR_DOMAIN_CONTROL_OCCUPIED"] if self.occupied else 0, 0, 0]

    def vcpus(self) -> tuple[list[tuple[int, int, int, int]], list[tuple[bool, ...]]]:
        if not self.active:
            raise self._invalid("cannot retrieve vcpu information on inactive domain")
        return [(0, 1, self.cpu_time, 0)], [(True,)]

    def begin_dump(self, form: int) -> int:
        self._check_active()
        if form not in self.dump_formats:
            name = next(word for word, number in C.items() if number == form and "CORE_DUMP_FORMAT" in word)
            raise make_error(
                self.server,
                C["VIR_ERR_INVALID_ARG"],
                f"invalid argument: unsupported dumpformat '{name.partition('FORMAT_')[2].lower()}' "
                "for this QEMU binary",
            )
        self._check_no_job()
        self.job = C["VIR_DOMAIN_JOB_UNBOUNDED"]
        return 0

    def dump(self, path: str, form: int) -> int:
        try:
            self.server.run_hooks("dump", self.name)
            with self.server.lock:
                self._dump(path, form)
        finally:
            self.job = C["VIR_DOMAIN_JOB_NONE"]
        return 0

    def cont(self) -> None:
        """Continue, told by QEMU's monitor; libvirt hears of it."""
        self._run("UNPAUSED" if self.state[0] != C["VIR_DOMAIN_RUNNING"] else "CRASHED")

    def monitor(self, command: str, *, human: bool) -> str:
        self._check_active()
        self.monitor_commands.append(command)
        return answer(self, command, human=human)

    # In between

    def _act(self, word: str) -> None:
        if word.startswith("coredump-"):
            try:
                self._dump(
                    f"{self.server.dump_folder}/{self.id}-{self.name}" if self.server.dump_folder else ""
                )
            except Exception:  # noqa: BLE001
                return  # libvirt leaves the domain as it is
        if word == "preserve-running":
            self._set("RUNNING", "CRASHED")
        elif word.endswith("restart"):
            self.run_state = "running"
            self.cpu_time += SECOND
            self._set("RUNNING", "CRASHED")
            self.server.event(self, C["VIR_DOMAIN_EVENT_ID_REBOOT"])
            self._lifecycle("RESUMED", "UNPAUSED")
        elif word.endswith("destroy"):
            self._stopped("CRASHED", "CRASHED")

    def _dump(self, path: str, form: int = 0) -> None:
        message = self.dump_fails or self.failing_formats.get(form)
        if message:
            raise make_error(self.server, C["VIR_ERR_OPERATION_FAILED"], message)
        self._check_active()
        if path:
            try:
                Path(path).write_bytes(b"\x7fELF played")
            except OSError as error:
                message = f"failed to create file '{path}': {error.strerror}"
                raise make_error(self.server, C["VIR_ERR_SYSTEM_ERROR"], message) from error
        self.dumps.append(path)
        total = self.progress[1]
        result = {"total": total, "completed": total, "status": "completed"}
        self.server.monitor_event(self, "DUMP_COMPLETED", {"result": result})

    def _reset(self) -> None:
        if self.run_state != "running":
            self.run_state = "prelaunch"
            if self.state[0] == C["VIR_DOMAIN_CRASHED"]:
                self._set("PAUSED", "CRASHED")
        self.server.event(self, C["VIR_DOMAIN_EVENT_ID_REBOOT"])

    def _run(self, reason: str) -> None:
        self.run_state = "running"
        self.cpu_time += SECOND
        self._set("RUNNING", reason)
        self._lifecycle("RESUMED", "UNPAUSED")

    def _stopped(self, reason: str, detail: str) -> None:
        self.id, self.run_state, self.job = -1, "", C["VIR_DOMAIN_JOB_NONE"]
        self._set("SHUTOFF", reason)
        self._live = self._configured
        self._lifecycle("STOPPED", detail)
        if not self.persistent:
            self._forget()

    def _forget(self) -> None:
        self.gone = True
        self.server.domains.remove(self)

    def _set(self, state: str, reason: str) -> None:
        self.state = (C[f"VIR_DOMAIN_{state}"], C[f"VIR_DOMAIN_{state}_{reason}"])

    def _lifecycle(self, kind: str, detail: str) -> None:
        numbers = (C[f"VIR_DOMAIN_EVENT_{kind}"], C[f"VIR_DOMAIN_EVENT_{kind}_{detail}"])
        self.server.event(self, C["VIR_DOMAIN_EVENT_ID_LIFECYCLE"], *numbers)

    def _root(self) -> ET.Element:
        return ET.fromstring(self.description(inactive=False))

    def _check_active(self) -> None:
        if not self.active:
            raise self._invalid("domain is not running")

    def _check_no_job(self) -> None:
        if self.job != C["VIR_DOMAIN_JOB_NONE"]:
            message = "Timed out during operation: cannot acquire state change lock (held by monitor=dump)"
            raise make_error(self.server, C["VIR_ERR_OPERATION_TIMEOUT"], message)

    def _invalid(self, message: str) -> Exception:
        full = f"Requested operation is not valid: {message}"
        return make_error(self.server, C["VIR_ERR_OPERATION_INVALID"], full)


def _with_action(xml: str, tag: str, word: str) -> str:
    pattern = re.compile(rf"(?<!!-- )<{tag}>.*?</{tag}>|<{tag}/>")
    element = f"<{tag}>{word}</{tag}>"
    if pattern.search(xml):
        return pattern.sub(element, xml, count=1)
    return xml.replace("<devices>", f"{element}\n  <devices>", 1)
