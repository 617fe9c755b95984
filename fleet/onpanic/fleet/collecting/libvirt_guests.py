"""The emulators in the capabilities of a libvirt: a pure function of its XML."""

import msgspec

__all__ = ("GuestArchitecture", "guests_in")


class GuestArchitecture(msgspec.Struct, frozen=True):
    """The guests of one architecture that a libvirt runs.

    :param architecture: libvirt's name of it.
    :param emulators: The emulators that it names for them, with the domain types of each.
    :param default: The emulator of a domain that does not name one.
    """

    architecture: str
    emulators: dict[str, list[str]]
    default: str


def guests_in(capabilities: str) -> list[GuestArchitecture]:
    """Return the guests that a libvirt runs, in its order.

    :param capabilities: What ``virsh capabilities`` prints.
    :raise DocumentError: When it is not XML.
    :raise MissingExtraError: When lxml is not installed.
    """
    from onpanic.shims.domain_xml.xml_parser import parse_xml  # needs lxml, which a host may lack

    found = []
    for guest in parse_xml(capabilities.encode()).iterfind("guest"):
        for arch in guest.iterfind("arch"):
            common = arch.findtext("emulator") or ""
            by_type = {
                kind: domain.findtext("emulator") or common
                for domain in arch.iterfind("domain")
                if (kind := domain.get("type"))
            }
            emulators: dict[str, list[str]] = {path: [] for path in (common, *by_type.values()) if path}
            for kind, path in by_type.items():
                if path:
                    emulators[path].append(kind)
            default = by_type.get("kvm", common)  # the best type is libvirt's default
            if name := arch.get("name"):
                found.append(GuestArchitecture(name, emulators, default))
    return found
