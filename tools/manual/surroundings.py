"""What no parser knows of a command: the environment and the files that it reads, and related pages."""

import re
from collections.abc import Iterator

__all__ = ("environment", "files", "related")

#: Variables: the commands that read it, empty for all, and what it does.
VARIABLES: dict[str, tuple[tuple[str, ...], str]] = {
    "NO_COLOR": ((), "If it is set and not empty, nothing is printed in colour."),
    "ONPANIC_TRACEBACK": ((), "If it is set and not empty, an internal error prints a traceback."),
    "JOURNAL_STREAM": (
        ("watch",),
        "If it names standard output, lines of the log begin with a priority, not the time: systemd.exec(5).",
    ),
    "LIBVIRT_DEFAULT_URI": (
        ("domcaps", "host", "probe", "resume", "status", "watch", "why"),
        "The libvirt connection where --connect does not name one.",
    ),
    "NOTIFY_SOCKET": (
        ("watch",),
        "The socket on which systemd is told that the watcher is ready, reloads or stops, see sd_notify(3).",
    ),
    "PATH": (
        ("accept", "check", "host", "onpanic-qemu", "probe"),
        "The folders that are searched for emulators.",
    ),
    "STATE_DIRECTORY": (("watch",), "The folder of the journal without --state-dir, see systemd.exec(5)."),
    "XDG_CACHE_HOME": (
        ("matrix collect", "status"),
        "Where the user's cache is (default: ``~/.cache``).",
    ),
    "XDG_RUNTIME_DIR": (
        ("status", "watch"),
        "Where the sockets and the status files of a session's libvirt are.",
    ),
    "XDG_STATE_HOME": (
        ("watch",),
        "Where the journal of a user other than root is (default: ``~/.local/state``).",
    ),
}

#: Files: the commands or pages that they belong to, and what they are.
FILES: dict[str, tuple[tuple[str, ...], str]] = {
    "/etc/onpanic/watch.toml": (
        ("watch", "onpanic-watch.toml"),
        "The settings that the sample unit for systemd names; no file is read without --config.",
    ),
    "/var/lib/onpanic": (("watch",), "The journal of a watcher that runs as root."),
    "~/.local/state/onpanic": (("watch",), "The journal of a watcher that another user runs."),
    "~/.cache/onpanic/suites": (("matrix collect",), "The emulators of Debian suites, unpacked."),
    "/var/log/libvirt/qemu": (("status",), "Logs of guests, which say since when a guest is panicked."),
}

#: Pages that a page's text does not name, by command or page.
RELATED: dict[str, tuple[str, ...]] = {
    "onpanic": (
        "onpanic-qemu(1)",
        "onpanic-host-record(5)",
        "onpanic-record(5)",
        "onpanic-watch.toml(5)",
        "qemu(1)",
    ),
    "probe": ("onpanic-record(5)",),
    "accept": ("onpanic-record(5)",),
    "check": ("onpanic-record(5)",),
    "matrix collect": ("onpanic-record(5)",),
    "host": ("onpanic-host-record(5)", "onpanic-fleet-verdict(1)"),
    "fleet verdict": ("onpanic-host-record(5)", "onpanic-host(1)"),
    "fleet migrate": ("onpanic-host-record(5)", "onpanic-host(1)"),
    "fleet diff": ("onpanic-host-record(5)", "onpanic-host(1)"),
    "onpanic-host-record": ("onpanic-record(5)",),
    "watch": ("onpanic-watch.toml(5)", "onpanic-resume(1)", "onpanic-why(1)"),
    "onpanic-qemu": ("onpanic-to-libvirt(1)", "qemu(1)"),
    "onpanic-record": ("onpanic-probe(1)", "onpanic-accept(1)", "onpanic-explain(1)"),
    "onpanic-watch.toml": ("onpanic-watch(1)",),
    "domcaps": ("virsh(1)",),
    "to-libvirt": ("virsh(1)", "onpanic-from-libvirt(1)"),
    "from-libvirt": ("virsh(1)",),
    "why": ("onpanic-run(1)",),
    "run": ("onpanic-why(1)", "qemu(1)"),
    "status": ("onpanic-resume(1)", "onpanic-why(1)"),
    "resume": ("onpanic-status(1)",),
}


def environment(name: str) -> Iterator[tuple[str, str]]:
    """Yield the variables that a command reads beside those that all commands read."""
    wanted = name != "onpanic"
    for variable, (commands, text) in VARIABLES.items():
        if (name in commands) if wanted else not commands:
            yield variable, text


def files(name: str) -> Iterator[tuple[str, str]]:
    """Yield the files of a command or a page."""
    for path, (owners, text) in FILES.items():
        if name in owners:
            yield path, text


def related(name: str, page: str, pages: "dict[str, str]", text: str) -> list[str]:
    """Return the pages that a page refers to, each as ``name(section)``.

    :param name: The command, or the page where it is none.
    :param page: The page itself.
    :param pages: The page of each command.
    :param text: What the page says.
    """
    commands = "|".join(sorted(pages, key=len, reverse=True))
    named = re.findall(rf"\bonpanic ({commands})(?![\w-])", " ".join(text.split()))
    found = {"onpanic(1)", *(f"{pages[one]}(1)" for one in named), *RELATED.get(name, ())}
    found -= {f"{page}(1)", f"{page}(5)"}
    return sorted(found, key=lambda one: (one[-2], one))
