"""The table of subcommands.

Every command loads this module, so it imports nothing and a row is a plain tuple.
"""

__all__ = ("COMMANDS", "PLAIN", "overview")

#: Subcommands in the order of ``onpanic --help``: the module that runs each, and what it does in one line.
#:
#: A module has ``configure(parser)`` and ``run(arguments)``, and ``TAKES_COMMAND = True`` if an
#: emulator's command may follow ``--``.
COMMANDS: dict[str, tuple[str, str]] = {
    "probe": ("onpanic.cli.probe", "ask an emulator what happens when its guest panics"),
    "accept": ("onpanic.cli.accept", "tell whether a policy is accepted, and why not"),
    "check": ("onpanic.cli.check", "check whether a QEMU build is fit to be shipped"),
    "to-libvirt": (
        "onpanic.cli.translation.to_libvirt",
        "translate a domain's <on_panic> policy for libvirt",
    ),
    "from-libvirt": (
        "onpanic.cli.translation.from_libvirt",
        "state the <on_panic> policy of a libvirt domain",
    ),
    "domcaps": ("onpanic.cli.domcaps", "print libvirt's domain capabilities with <on_panic> filled in"),
    "status": ("onpanic.cli.status", "show the state of a guest, and what can be done about it"),
    "why": ("onpanic.cli.why", "show why a guest panicked: its last words, read from its memory"),
    "resume": ("onpanic.cli.resume", "continue a panicked guest"),
    "run": ("onpanic.cli.run", "run a QEMU, and tell why its guest panicked"),
    "watch": ("onpanic.cli.watch", "carry out policies when guests panic"),
    "host": ("onpanic.cli.host", "show which policies this host can keep, and make its record"),
    "matrix collect": ("onpanic.cli.matrix.collect", "collect capability records of many emulators"),
    "matrix build": ("onpanic.cli.matrix.build", "build matrix.json, MATRIX.md and index.html from records"),
    "matrix show": ("onpanic.cli.matrix.show", "show the compatibility matrix"),
    "matrix diff": ("onpanic.cli.matrix.diff", "show what changed from one build to another"),
    "fleet verdict": ("onpanic.cli.fleet.verdict", "show which policies every host of a fleet keeps"),
    "fleet migrate": ("onpanic.cli.fleet.migrate", "show where a guest can migrate and keep its policy"),
    "fleet diff": ("onpanic.cli.fleet.diff", "show what changed on the hosts of a fleet"),
    "explain": ("onpanic.cli.explain", "explain a code, and what to do about it"),
}

#: Modules with ``run_plain(argv)``, which runs a subcommand without argparse.  It returns the exit status,
#: or None if the arguments need a parser.
PLAIN = {"accept": "onpanic.cli.recorded_decision", "explain": "onpanic.cli.explain"}

_HEAD = """\
usage: onpanic [-h] [--version] COMMAND ...

Find out what happens when a QEMU guest panics, and which <on_panic> policies can be honoured.

commands:
"""

_FOOT = """
options:
  -h, --help      show this help, or with a COMMAND before it the command's, and exit
  --version       show the version and exit

exit status:
  0   success
  1   refused, or something was found
  2   the command could not run: wrong usage, or an emulator, a guest or a file failed
  70  internal error; with ONPANIC_TRACEBACK=1 in the environment a traceback is printed
  77  skipped: there was nothing to ask (--skip-missing)
onpanic run ends with QEMU's own status, or with those that its help lists.
"""


def overview(group: str = "") -> str:
    """Return what ``onpanic --help`` prints.

    :param group: The first word of commands, such as ``fleet``: return those alone.
    """
    rows = [
        f"  {name:15} {summary}\n"
        for name, (_, summary) in COMMANDS.items()
        if not group or name.startswith(f"{group} ")
    ]
    if group:
        head = f"usage: onpanic {group} COMMAND ...\n\ncommands:\n"
        return head + "".join(rows) + f"\nonpanic {group} COMMAND --help describes a command.\n"
    return _HEAD + "".join(rows) + _FOOT
