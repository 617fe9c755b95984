"""Examples of the manual pages: sessions of the documentation, which the tests run."""

from dataclasses import dataclass

from examples import blocks, runs_here, steps

__all__ = ("sessions", "shown")

_WIDEST = 100  # characters; an output with longer lines is left out


@dataclass(frozen=True)
class Example:
    """An example.

    :param caption: What it does, as an infinitive.
    :param page: The page of the documentation that has it.
    :param start: How the command begins by which it is found.
    """

    caption: str
    page: str
    start: str


EXAMPLES: dict[str, tuple[Example, ...]] = {
    "onpanic": (
        Example("Tell whether a policy is accepted, and why not:", "README.md", "onpanic accept restart"),
        Example("Show why a guest panicked:", "README.md", "xz -dc tests/why"),
    ),
    "probe": (
        Example(
            "Probe a machine type, without starting a guest's CPU:",
            "how-to/probing.md",
            "onpanic probe --machine q35",
        ),
        Example(
            "Keep a record, and decide by it:", "how-to/probing.md", "onpanic probe --format json > qemu.json"
        ),
    ),
    "accept": (
        Example(
            "Probe the host's emulator, and decide by the rules of Xen:",
            "README.md",
            "onpanic accept restart",
        ),
        Example("Decide by a record:", "how-to/probing.md", "onpanic probe --format json > qemu.json"),
    ),
    "check": (
        Example(
            "Check all machine types of the host's emulator:",
            "how-to/checking-a-build.md",
            "onpanic check --all-machines",
        ),
        Example(
            "Compare with the record of an older build:",
            "how-to/checking-a-build.md",
            "onpanic probe --format json",
        ),
    ),
    "to-libvirt": (
        Example("Show what libvirt gets in the place of a policy:", "README.md", "onpanic to-libvirt"),
        Example(
            "Translate for all hosts of a fleet, and show where the guest can migrate:",
            "how-to/fleets.md",
            'sed "s/machine=',
        ),
    ),
    "from-libvirt": (
        Example(
            "Show that a translated domain states the policy that it was made from:",
            "how-to/policies-on-libvirt.md",
            "onpanic to-libvirt docs",
        ),
    ),
    "status": (
        Example(
            "Start a guest whose boot sector panics, show its state, and continue it:",
            "how-to/policies-on-libvirt.md",
            "printf",
        ),
    ),
    "resume": (
        Example(
            "Start a guest whose boot sector panics, show its state, and continue it:",
            "how-to/policies-on-libvirt.md",
            "printf",
        ),
    ),
    "why": (
        Example(
            "Read the last words of a guest from a dump of its memory:", "how-to/last-words.md", "xz -dc"
        ),
    ),
    "run": (Example("Run a guest whose boot sector panics:", "how-to/running.md", "printf"),),
    "watch": (
        Example(
            "Start a guest whose boot sector panics, and carry out its policy:",
            "how-to/watching.md",
            "printf",
        ),
    ),
    "host": (
        Example(
            "Show which policies the host's emulators can keep:",
            "reference/host-record.md",
            "onpanic host --no-libvirt | grep -A",
        ),
        Example(
            "Print labels for a node of Kubernetes:",
            "reference/host-record.md",
            "onpanic host --no-libvirt --format nfd",
        ),
    ),
    "matrix collect": (
        Example(
            "Make a record from a recording:", "how-to/compatibility-matrix.md", "onpanic matrix collect"
        ),
    ),
    "matrix build": (Example("Build the matrix:", "how-to/compatibility-matrix.md", "mkdir out"),),
    "matrix show": (
        Example(
            "Show a build of the published matrix:",
            "how-to/compatibility-matrix.md",
            "onpanic matrix show --arch x86_64 --build",
        ),
    ),
    "matrix diff": (
        Example("Compare two builds of QEMU:", "how-to/compatibility-matrix.md", "ls compat-matrix/records"),
    ),
    "fleet verdict": (
        Example(
            "Show the verdict for two machine types:",
            "how-to/fleets.md",
            "onpanic fleet verdict docs/samples/fleet --machine pc-q35-7.2 --machine pc",
        ),
        Example(
            "Judge one policy, where not all expected hosts have a record:", "how-to/fleets.md", "mkdir fleet"
        ),
    ),
    "fleet migrate": (
        Example(
            "Show where a guest with a policy can migrate:",
            "how-to/fleets.md",
            "onpanic fleet migrate docs/samples/fleet --machine",
        ),
        Example(
            "Translate for all hosts of a fleet, and show where the guest can migrate:",
            "how-to/fleets.md",
            'sed "s/machine=',
        ),
    ),
    "fleet diff": (Example("Compare two collections of records:", "how-to/fleets.md", "mkdir upgraded"),),
    "explain": (Example("Explain a fact and a code:", "how-to/probing.md", "onpanic explain"),),
}


def sessions(name: str) -> list[tuple[str, str]]:
    """Return the examples of a command, each as its caption and what a terminal shows.

    Raises `LookupError` when the documentation does not have one.
    """
    return [(example.caption, _session(example)) for example in EXAMPLES.get(name, ())]


def shown(session: str) -> str:
    """Return a session, without its output if that is too wide for a page."""
    wide = max(map(len, session.splitlines())) > _WIDEST
    return "".join(command for command, _ in steps(session)) if wide else session


def _session(example: Example) -> str:
    for block in blocks():
        in_page = block.page.removeprefix("docs/") == example.page
        if in_page and runs_here(block) and block.text.startswith(f"$ {example.start}"):
            return shown(block.text)
    raise LookupError(f"{example.page} has no example that begins with {example.start!r}")
