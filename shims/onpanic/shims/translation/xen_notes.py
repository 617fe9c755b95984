"""What a crash action of Xen does beside what its name says: with libvirt's Xen driver, and with ``xl``.

Observed on Xen 4.17 with libvirt 9.0, for PV, PVH and HVM guests.  Neither toolstack has a limit on restarts,
nor looks at whether a coredump was made before it ends the guest.
"""

from onpanic.shims.translation.notes import Note

__all__ = ("notes_of_libvirt", "notes_of_xl")

_RESTARTS = ("restart", "rename-restart", "coredump-restart")
_DUMPS = ("coredump-destroy", "coredump-restart")

# Where a guest's memory is dumped to: libvirt's Xen driver adds the time, xl only the guest's name
_LIBVIRT_DUMPS, _XL_DUMPS = "/var/lib/libvirt/libxl/dump", "/var/lib/xen/dump"

# Guests whose memory has holes in it up to 4 GiB, each page of which is tried
_SPARSE = {"xenpvh": "PVH", "xenfv": "HVM"}


def notes_of_libvirt(
    action: str | None, guest_type: str, *, has_panic_device: bool = False
) -> tuple[Note, ...]:
    """Return what a crash action does with libvirt's Xen driver.

    :param action: libvirt's value of ``<on_crash>``; None without.
    :param guest_type: libvirt's machine type: ``xenpv``, ``xenpvh`` or ``xenfv``.
    :param has_panic_device: Whether the domain has a ``<panic>``.
    """
    notes = _notes(action, guest_type, _LIBVIRT_DUMPS)
    if action == "rename-restart":
        notes = [Note.of("xen-does-not-rename"), *notes]
    if action == "preserve":
        notes = [*notes, Note.of("xen-preserved-shows-shut-off")]
    if has_panic_device:
        notes = [*notes, Note.of("xen-has-no-panic-device")]
    return tuple(notes)


def notes_of_xl(action: str | None, guest_type: str) -> tuple[Note, ...]:
    """Return what a crash action does with xl, see `notes_of_libvirt`."""
    notes = _notes(action, guest_type, _XL_DUMPS)
    if action == "rename-restart":
        notes = [Note.of("xl-renames-once-a-minute"), *notes]
    if action in _DUMPS:
        notes = [*notes, Note.of("xl-overwrites-dump")]
    return tuple(notes)


def _notes(action: str | None, guest_type: str, folder: str) -> list[Note]:
    notes = []
    if action in _DUMPS:
        notes.append(Note.of("xen-failed-dump-ends-guest", f"in {folder}"))
        if guest_type in _SPARSE:
            notes.append(Note.of("xen-dump-takes-long", f"{_SPARSE[guest_type]}"))
    if action in _RESTARTS:
        notes.append(Note.of("xen-restarts-without-limit"))
    return notes
