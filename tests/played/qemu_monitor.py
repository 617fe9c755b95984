"""The monitor of a played domain's QEMU, as ``virsh qemu-monitor-command`` reaches it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .domain import PlayedDomain

__all__ = ("answer",)


def answer(domain: PlayedDomain, command: str, *, human: bool) -> str:
    """Return what QEMU answers.

    ``query-status``, ``query-version`` and ``cont`` are known, and what the domain's `answers` have.

    :param command: A QMP command as JSON, or a line for the human monitor.
    :param human: It is for the human monitor.
    """
    if human:
        return str(domain.answers.get(command, ""))
    name = json.loads(command)["execute"]
    if name == "cont":
        domain.cont()
    major, rest = divmod(domain.server.qemu_version, 1_000_000)
    running = domain.run_state == "running"
    known: dict[str, Any] = {
        "query-status": {"status": domain.run_state, "running": running, "singlestep": False},
        "query-version": {
            "qemu": {"major": major, "minor": rest // 1000, "micro": rest % 1000},
            "package": "",
        },
        "cont": {},
        **domain.answers,
    }
    reply: dict[str, Any] = {"id": "libvirt-7"}
    if name in known:
        reply["return"] = known[name]
    else:
        reply["error"] = {"class": "CommandNotFound", "desc": f"The command {name} has not been found"}
    return json.dumps(reply)
