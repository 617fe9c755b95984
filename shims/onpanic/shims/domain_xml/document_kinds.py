"""What libvirt's XML documents are, by the name of their root element, and where the domain's own XML is."""

from onpanic.core.errors import DocumentError
from onpanic.core.untrusted import printable

__all__ = ("CONTAINERS", "not_a_domain")

#: The elements that have a ``<domain>`` as a child, with what they are.
CONTAINERS = {
    "domstatus": "libvirt's status of a running domain",
    "domainsnapshot": "a snapshot of a domain",
    "domaincheckpoint": "a checkpoint of a domain",
}

_DUMPXML = "virsh dumpxml --inactive NAME prints a domain's XML"

# How a container is printed with its <domain>
_WITH_DOMAIN = {
    "domainsnapshot": "virsh snapshot-dumpxml DOMAIN SNAPSHOT prints a snapshot with its domain",
    "domaincheckpoint": "virsh checkpoint-dumpxml DOMAIN CHECKPOINT prints a checkpoint with its domain",
}

# Other elements that libvirt's tools print or read
_KINDS = {
    "capabilities": "a host's capabilities",
    "cpu": "a CPU",
    "device": "a device of the host",
    "devices": "a part of a domain",
    "disk": "a device of a domain",
    "domainCapabilities": "what libvirt can do for a domain",
    "domainbackup": "a backup of a domain's disks",
    "filesystem": "a device of a domain",
    "filter": "a network filter",
    "hostdev": "a device of a domain",
    "inactiveDomain": "a part of a snapshot",
    "interface": "a network interface",
    "network": "a virtual network",
    "networkport": "a port of a virtual network",
    "networkstatus": "libvirt's status of a virtual network",
    "node": "a host of libvirt's test driver",
    "panic": "a device of a domain",
    "pool": "a storage pool",
    "poolstatus": "libvirt's status of a storage pool",
    "secret": "a secret",
    "sysinfo": "a host's firmware",
    "volume": "a storage volume",
    # Of others
    "Envelope": "a virtual machine in OVF",
}


def not_a_domain(name: str, *, has_domain: bool = False) -> DocumentError:
    """Return the error about a document that is something else than a domain.

    :param name: The name of its root element, as lxml has it.
    :param has_domain: Whether the root element has a ``<domain>`` as a child.
    """
    local = name.rpartition("}")[2]
    kind = CONTAINERS.get(name) or _KINDS.get(local)
    what = f"the document's element is <{printable(name, 100)}>, not <domain>"
    if kind:
        what = f"the document's element is <{printable(local, 60)}>, not <domain>: it is {kind}"
    if has_domain:
        return DocumentError(what, "onpanic.shims.domain_in returns the <domain> in it")
    if name in CONTAINERS:
        return DocumentError(f"<{name}> has no <domain> in it", _WITH_DOMAIN.get(name, _DUMPXML))
    return DocumentError(what, _DUMPXML)
