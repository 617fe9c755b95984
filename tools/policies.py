"""Write docs/reference/policies.md, the table of what each policy becomes on libvirt: `make docs`."""

import re
from pathlib import Path

from onpanic.probe import Policy
from onpanic.probe.decision.catalogue import CATALOGUE
from onpanic.probe.decision.policy import ON_CRASH
from onpanic.probe.decision.rules import refusal_of_policy
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.mapping import AddedNotifier, DomainChanges, TranslationContext, changes_for
from onpanic.shims.translation.xen_notes import notes_of_xl

PAGE = Path(__file__).parent.parent / "docs/reference/policies.md"
HEAD = """\
# What each policy becomes

`onpanic to-libvirt` translates [the values of `<on_panic>`](../how-to/policies-on-libvirt.md#the-policy) to what libvirt knows. This
page has the `<on_crash>` that each value becomes, on QEMU and on Xen, and the notes that it gets. `make docs` writes it from the code that
translates.

## On QEMU

This table is for a QEMU whose panic notifier works, according to `onpanic probe`. "The notifier" is what `onpanic to-libvirt` adds
to a domain that has none: `<panic model='isa'/>` on x86, `<panic model='pvpanic'/>` on machine types with PCI only, and
`<panic model='hyperv'/>` where only that works; or the one that `--notifier` names. Domains on s390x and pseries always have one.
`default` is the same as `ignore`, and `crash` is refused. The [notes](#notes) are explained below.

| `<on_panic>` | coredump | notifier | `<on_crash>` before libvirt 12.6 | from libvirt 12.6 on | notes |
|---|---|---|---|---|---|
"""
FOOT = """
Where a reset would end the guest, `restart` becomes `preserve`, and `watch-restarts` is noted: under `<on_reboot>destroy`, with
`-no-reboot` or `-action reboot=shutdown` in `<qemu:commandline>`, and in a confidential guest whose CPUs cannot be reset.

QEMU 10.0 and later report a checkstop of the CPU as a panic on PowerPC boards. In a domain without a notifier, `default` and `ignore`
then become `preserve`, and `checkstop-reports` is noted: libvirt would destroy such a guest. The same holds for the fatal error of a
confidential guest whose CPUs cannot be reset, with `confidential-guest-reports`.

With a grace period (`<on_panic grace='30'>`), `restart`, `destroy` and `rename-restart` become `preserve` on every libvirt, and
`watch-waits` is noted: libvirt would act at once. `preserve-running` is not used, because the state that libvirt then shows does not say
whether the guest has rebooted since it panicked.

On QEMU, a policy's `<on_crash>` is about QEMU's internal error, on which libvirt does nothing. Every policy that has one therefore gets
the note `watch-on-crash`.

A domain with a value that acts on a panic gets the note `vmcoreinfo-off` if the guest could have QEMU's vmcoreinfo device, and nothing
in the domain says whether it has. `--with-vmcoreinfo` adds `<vmcoreinfo state='on'/>` to such a domain, whatever the value, and
`vmcoreinfo-not-added` is noted where the guest cannot have the device, or should not: under `<vmcoreinfo state='off'/>`, and in a
confidential guest.

## On Xen

`<on_panic>` has two values on Xen, `default` and `crash`, which mean the same: do what the policy's `<on_crash>` says. The others are
refused, and so is a coredump that Xen does not make. The guest is a PV guest of libvirt's Xen driver, or of [xl](../how-to/policies-on-libvirt.md#xls-configuration-files).

| the policy's `<on_crash>` | coredump | libvirt's `<on_crash>` | xl's `on_crash` | notes with libvirt | notes with xl |
|---|---|---|---|---|---|
"""
NOTES = """
PVH and HVM guests get `xen-dump-takes-long`, too, if they are to be dumped, and a domain with a `<panic>` gets `xen-has-no-panic-device`.

## Notes

| note | meaning | what to do |
|---|---|---|
"""


def row(value: str, *, coredump: bool, has_notifier: bool) -> str:
    old, new = (changes(Policy(value, coredump), has_notifier, libvirt) for libvirt in ("9.0.0", "12.6.0"))
    notifier = "present" if has_notifier else "added" if old.panic else "none"
    on_crash = [f"`{found.on_crash}`" if found.on_crash else "unchanged" for found in (old, new)]
    notes = ", ".join(f"`{note.code}`" + ("" if note in new.notes else " before 12.6") for note in old.notes)
    cells = [f"`{value}`", "yes" if coredump else "no", notifier, *on_crash, notes or "-"]
    return f"| {' | '.join(cells)} |"


def xen_row(on_crash: str | None, *, coredump: bool) -> str:
    policy = Policy("crash", on_crash=on_crash, on_crash_coredump=coredump)
    refused = refusal_of_policy(policy, "xen")
    if refused is not None:
        cells = [f"refused: `{refused.code}`", "-", "-", "-"]
    else:
        context = TranslationContext("xen", (), None, "", True, Libvirt(), guest_type="xenpv")
        found, action = changes_for(policy, context), policy.crash_action
        codes = [
            ", ".join(f"`{note.code}`" for note in notes) or "-"
            for notes in (found.notes, notes_of_xl(action, "xenpv"))
        ]
        words = [f"`{word}`" if word else "unchanged; `destroy` without" for word in (found.on_crash, action)]
        cells = [*words, *codes]
    value = f"`{on_crash}`" if on_crash else "none"
    return f"| {' | '.join([value, 'yes' if coredump else 'no', *cells])} |"


def changes(policy: Policy, has_notifier: bool, libvirt: str) -> DomainChanges:
    notifiers, added = (("isa",), None) if has_notifier else ((), AddedNotifier("isa"))
    context = TranslationContext("qemu", notifiers, added, builtin="", acpi=True, libvirt=Libvirt.of(libvirt))
    return changes_for(policy, context)


def page() -> str:
    rows = [row("ignore", coredump=False, has_notifier=present) for present in (False, True)]
    for value in ("restart", "destroy", "preserve", "rename-restart", "pause"):
        rows += [row(value, coredump=coredump, has_notifier=False) for coredump in (False, True)]
    notes = [entry for entry in CATALOGUE.values() if entry.kind == "note"]
    lines = [f"| `{note.code}` | {markdown(note.reason)} | {markdown(note.remedy)} |" for note in notes]
    xen = [xen_row(None, coredump=False)]
    xen += [xen_row(value, coredump=coredump) for value in ON_CRASH for coredump in (False, True)]
    return "\n".join([HEAD + "\n".join(rows), FOOT + "\n".join(xen), NOTES + "\n".join(lines), ""])


def markdown(text: str) -> str:
    """Return a text in which XML elements are code; Markdown would take them for HTML."""
    return re.sub("<[^>]+>", r"`\g<0>`", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
