"""Guests of Xen that crash by themselves as soon as they run, and have a little memory and nothing else.

libvirt starts them paused.  Then the image that would crash is replaced by one that waits, and they are
resumed: a guest that Xen's driver starts again does not crash again.
"""

import contextlib
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from onpanic.core.libvirt_api import libvirt_module
from onpanic.core.libvirt_version import version_name
from onpanic.matrix.libvirts.guest_driver import LogForDomain
from onpanic.matrix.libvirts.guest_files import newest_format, remove_guest_files
from onpanic.matrix.libvirts.libvirt_conversation import LogEntry
from onpanic.matrix.libvirts.libvirt_questions import GuestPlan, filled, plans_of_words
from onpanic.matrix.libvirts.libvirt_record import DumpFormat, GuestXen
from onpanic.matrix.libvirts.libvirt_session import LibvirtSession
from onpanic.matrix.libvirts.started_guest import StartedGuest
from onpanic.matrix.libvirts.xen_images import CRASH, ImageKind, ending_image, waiting_image

__all__ = ("XEN_DOCUMENTS", "XenGuests", "xen_plans")

_OS: Mapping[ImageKind, str] = {
    "pv": "<type arch='x86_64' machine='xenpv'>linux</type>",
    "pvh": "<type arch='x86_64' machine='xenpvh'>xenpvh</type>",
}
_MACHINES: Mapping[ImageKind, str] = {"pv": "xenpv", "pvh": "xenpvh"}

_DOMAIN = (
    "<domain type='xen'><name>{name}</name><memory unit='MiB'>{memory}</memory>"
    "<os>{type}<kernel>{image}</kernel></os>{lifecycle}</domain>"
)

# The least that Xen starts
_MEBIBYTES: Mapping[ImageKind, int] = {"pv": 16, "pvh": 32}


def _document(kind: ImageKind) -> str:
    return _DOMAIN.replace("{memory}", str(_MEBIBYTES[kind])).replace("{type}", _OS[kind])


#: The documents: one that libvirt is asked about, and those of guests.
XEN_DOCUMENTS = {
    "asked": _document("pv").replace("{name}", "onpanic").replace("{image}", "/image"),
    **{f"guest-{kind}": _document(kind) for kind in _OS},
}

#: What is not tried, and why.
_LEFT_OUT = {
    "hvm": "an HVM guest needs a device model, and runs Xen's own firmware first",
    "pvh coredump-destroy, coredump-restart": (
        "a dump takes minutes: Xen's toolstack tries each page up to the guest's last, just below 4 GiB"
    ),
}
_DUMPS = ("coredump-destroy", "coredump-restart")

# Where libvirt's Xen driver has core dumps and logs (libxl_conf.h of libvirt)
_DUMP_FOLDER, _LOG_FOLDER = Path("/var/lib/libvirt/libxl/dump"), Path("/var/log/libvirt/libxl")

_STOPPED = 5  # virDomainEventType


def xen_plans(accepted: Collection[str], kinds: Collection[ImageKind]) -> list[GuestPlan]:
    """Return the guests to start.

    :param accepted: The values of ``<on_crash>`` that libvirt accepts.
    :param kinds: The types of guests that Xen runs.
    """
    plans = [plan for kind in _OS if kind in kinds for plan in plans_of_words(accepted, kind)]
    if "restart" in accepted and "pv" in kinds:
        plans.append(GuestPlan("restart", persistent=False, on_reboot="destroy", guest_type="pv"))
    return [plan for plan in plans if plan.guest_type == "pv" or plan.on_crash not in _DUMPS]


class XenGuests:
    """libvirt's Xen driver; see `GuestDriver`."""

    native = "xen-xl"
    documents: Mapping[str, str] = XEN_DOCUMENTS
    models: Sequence[str] = ()  # the driver has no panic devices
    needs = "see libvirt's log"

    def __init__(self, session: LibvirtSession) -> None:
        self._session = session
        self._folder = Path()  # of the images
        capabilities = session.call(session.connection.getCapabilities)
        self._kinds = [kind for kind, machine in _MACHINES.items() if f">{machine}<" in capabilities]

    @property
    def start_flags(self) -> int:
        """Flags by which guests are started paused."""
        return int(libvirt_module().VIR_DOMAIN_START_PAUSED)

    def plans(self, accepted: Collection[str]) -> list[GuestPlan]:
        """See `xen_plans`."""
        return xen_plans(accepted, self._kinds)

    @contextlib.contextmanager
    def files(self) -> Iterator[None]:
        """Have a folder for images, which only the user and root can read."""
        with tempfile.TemporaryDirectory(prefix="onpanic-") as name:
            self._folder = Path(name)
            yield

    def xml(self, guest: StartedGuest) -> str:
        """Write the image that crashes, and return a document with it."""
        image = self._image(guest)
        image.write_bytes(ending_image(_kind(guest), CRASH))
        document = XEN_DOCUMENTS[f"guest-{_kind(guest)}"]
        return filled(document, name=guest.name, lifecycle=guest.plan.lifecycle, image=str(image))

    @contextlib.contextmanager
    def events(self, note: LogForDomain) -> Iterator[None]:  # noqa: ARG002
        """Xen's driver has no further events."""
        yield

    def about(self, guests: Sequence[StartedGuest]) -> GuestXen:  # noqa: ARG002
        """Return Xen's version, as libvirt says it."""
        number = self._session.call(self._session.connection.getVersion)
        missing = {
            kind: "this Xen does not run guests of this type" for kind in _MACHINES if kind not in self._kinds
        }
        return GuestXen(
            version=version_name(number).rpartition(".")[0],
            guest_types=list(self._kinds),
            left_out=missing | _LEFT_OUT,
        )

    def panic(self, guest: StartedGuest) -> str:
        """Have the guest wait, if it is started again."""
        self._image(guest).write_bytes(waiting_image(_kind(guest)))
        return "resume: the guest crashes"

    def make_panic(self, guest: StartedGuest) -> None:
        """Resume the guest."""
        guest.domain.resume()

    def handled(self, guest: StartedGuest) -> bool:
        """Return whether libvirt has said that the domain that crashed has stopped: it says so at last."""
        return guest.has("event", _STOPPED)

    def run_state(self, guest: StartedGuest) -> LogEntry | None:  # noqa: ARG002
        """Xen's run state is the one that libvirt has."""
        return None

    def dump_of(self, name: str) -> DumpFormat:
        """Look into the folder of the driver, which cannot be configured."""
        return newest_format(_DUMP_FOLDER, name)

    def kill(self, name: str) -> None:
        """Do nothing: only the toolstack can end a domain, and libvirt is asked again."""

    def remove_files(self, names: Sequence[str]) -> None:
        """Remove core dumps and logs."""
        remove_guest_files(_DUMP_FOLDER, [_LOG_FOLDER], names)

    def _image(self, guest: StartedGuest) -> Path:
        return self._folder / guest.name


def _kind(guest: StartedGuest) -> ImageKind:
    return "pvh" if guest.plan.guest_type == "pvh" else "pv"
