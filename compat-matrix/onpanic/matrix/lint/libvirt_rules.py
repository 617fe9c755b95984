"""Rules about one record of a libvirt: each takes its name and the record, and yields what is wrong."""

from collections import Counter
from collections.abc import Callable, Iterator

from onpanic.matrix.libvirts.libvirt_files import libvirt_name
from onpanic.matrix.libvirts.libvirt_record import GuestQemu, GuestXen, LibvirtRecord
from onpanic.shims.translation.asking_libvirt import CONTROL_WORD

__all__ = ("LIBVIRT_RULES",)

_STOPPED = (5, 2)  # virDomainEventType: stopped, since it crashed


def misnamed_libvirt(name: str, record: LibvirtRecord) -> Iterator[str]:
    """Yield the name that a record's file should have; a variant may follow it."""
    expected = libvirt_name(record)
    if name != expected and not name.startswith(f"{expected}+"):
        yield f"it is a record of {expected}: rename it"


def accepted_control_word(_name: str, record: LibvirtRecord) -> Iterator[str]:
    """Yield elements for which libvirt was not asked about a word that does not exist, or accepted it."""
    for element, answers in record.accepted.items():
        control = answers.get(CONTROL_WORD)
        if control is None or control.outcome != "not-known":
            yield f"<{element}>: a word that does not exist is not refused: what it accepts says nothing"


def unobserved_word(_name: str, record: LibvirtRecord) -> Iterator[str]:
    """Yield values of <on_crash> that libvirt accepts, and with which no guest was seen to end."""
    seen = {guest.on_crash for guest in record.guests if guest.end and not guest.set_live}
    for word, answer in record.accepted.get("on_crash", {}).items():
        if answer.outcome == "accepted" and word not in seen:
            yield f"no guest with <on_crash>{word} was seen to end: collect it again"


def unreported_panic(_name: str, record: LibvirtRecord) -> Iterator[str]:
    """Yield guests with an end whose panic was not reported: by QEMU, or on Xen by libvirt."""
    for guest in record.guests:
        what = f"a guest with <on_crash>{guest.on_crash} has an end, and"
        if guest.end and isinstance(record.ran_on, GuestQemu) and not guest.end.panic_action:
            yield f"{what} QEMU reported no panic"
        if guest.end and isinstance(record.ran_on, GuestXen) and _STOPPED not in guest.end.events:
            yield f"{what} libvirt did not report that it crashed"


def other_driver(_name: str, record: LibvirtRecord) -> Iterator[str]:
    """Yield the driver of a record whose guests ran on something else."""
    expected = "QEMU" if isinstance(record.ran_on, GuestQemu) else "Xen"
    if record.libvirt.driver != expected:
        yield f"libvirt's driver is {record.libvirt.driver}, and its guests ran on {expected}"


def other_guest_type(_name: str, record: LibvirtRecord) -> Iterator[str]:
    """Yield guests of a type that the record's Xen does not run; QEMU's guests have none."""
    known = record.ran_on.guest_types if isinstance(record.ran_on, GuestXen) else [""]
    for guest in record.guests:
        if guest.guest_type not in known:
            kind = guest.guest_type or "no type"
            yield f"the guest with <on_crash>{guest.on_crash} is of {kind}, which is not one of the record's"


def doubled_guest(_name: str, record: LibvirtRecord) -> Iterator[str]:
    """Yield guests that a record has more than once."""
    counts = Counter(
        (one.on_crash, one.on_reboot, one.set_live, one.persistent, one.guest_type) for one in record.guests
    )
    for key, times in counts.items():
        if times > 1:
            yield f"a guest with <on_crash>{key[0]} is in it {times} times"


def end_contradicts_domain(_name: str, record: LibvirtRecord) -> Iterator[str]:
    """Yield guests whose domain should exist, or not, after their end.

    libvirt forgets a transient domain when it is shut off, and keeps a persistent one.
    """
    for guest in record.guests:
        if guest.end and guest.end.state is None and guest.persistent:
            yield f"the persistent domain with <on_crash>{guest.on_crash} no longer exists"
        if guest.end and guest.end.process == "ended" and guest.end.run_state:
            yield f"QEMU with <on_crash>{guest.on_crash} has ended, and is {guest.end.run_state}"


#: The rules by name.
LIBVIRT_RULES: dict[str, Callable[[str, LibvirtRecord], Iterator[str]]] = {
    "accepted-control-word": accepted_control_word,
    "doubled-guest": doubled_guest,
    "end-contradicts-domain": end_contradicts_domain,
    "misnamed-libvirt": misnamed_libvirt,
    "other-driver": other_driver,
    "other-guest-type": other_guest_type,
    "unobserved-word": unobserved_word,
    "unreported-panic": unreported_panic,
}
