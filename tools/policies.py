"""Write docs/policies.md, the table of what each policy becomes on libvirt: `make docs`."""

from pathlib import Path

from onpanic.probe import Policy
from onpanic.probe.catalogue import CATALOGUE
from onpanic.shims.libvirt_versions import Libvirt
from onpanic.shims.mapping import Situation, plan

PAGE = Path(__file__).parent.parent / "docs" / "policies.md"
HEAD = """\
# What each policy becomes

For a QEMU whose panic notifier works (`onpanic probe` says so). "The notifier" is what `to-libvirt` adds where the domain has
none: `<panic model='isa'/>` on x86, `<panic model='pvpanic'/>` on machine types with PCI only, nothing on s390x and pseries,
which have one. What is left to do by others is named below the table. Written by `make docs`, from the code that translates.

| `<on_panic>` | coredump | notifier | `<on_crash>` of libvirt | from libvirt 12.6 on | notes |
|---|---|---|---|---|---|
"""
FOOT = """
On Xen `default` and `crash` leave libvirt's `<on_crash>` as the policy has it; there is nothing else to translate. A policy's own
`<on_crash>` is about QEMU's internal error, on which libvirt does nothing: `watch-on-crash` is noted wherever there is one.

## Notes

"""


def row(value: str, *, coredump: bool, there: bool) -> str:
    old, new = (
        plan(
            Policy(value, coredump),
            Situation("qemu", ("isa",) if there else (), "isa", builtin=False, acpi=True, libvirt=libvirt),
        )
        for libvirt in (Libvirt.of("9.0.0"), Libvirt.of("12.6.0"))
    )
    notifier = "is there" if there else "added" if old.panic else "none"
    words = [f"`{found.on_crash}`" if found.on_crash else "as it was" for found in (old, new)]
    notes = ", ".join(f"`{note.code}`" + ("" if note in new.notes else " before 12.6") for note in old.notes)
    cells = [f"`{value}`", "yes" if coredump else "no", notifier, words[0], words[1], notes or "-"]
    return f"| {' | '.join(cells)} |"


def page() -> str:
    rows = [row(value, coredump=False, there=there) for there in (False, True) for value in ("ignore",)]
    for value in ("restart", "destroy", "preserve", "rename-restart", "pause"):
        rows += [row(value, coredump=coredump, there=False) for coredump in (False, True)]
    notes = [e for e in CATALOGUE.values() if e.kind == "note"]
    lines = [f"* `{e.code}`: {e.reason}. {e.remedy[0].upper()}{e.remedy[1:]}." for e in notes]
    return HEAD + "\n".join(rows) + "\n" + FOOT + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
