"""Why an SEV guest asked to be ended: the reason codes that are public.

Sources: AMD's GHCB specification ("Termination Request"), set 0; Linux's sev-common.h, set 1.
"""

__all__ = ("sev_reason",)

_GENERAL = (
    "general termination request",
    "the host's range of GHCB protocols is not supported",
    "the host lacks a feature that SEV-SNP needs",
)
_LINUX = (
    "Linux could not register its GHCB page",
    "Linux could not change the state of a page",
    "Linux could not validate a page",
    "Linux does not run at VMPL 0",
    "Linux found the CPUID table invalid",
    "Linux got no CPUID values from the hypervisor",
    "Linux could not read the secrets page",
    "Linux found no SVSM in the secrets page",
    "Linux found an SVSM that gave it VMPL 0",
    "Linux found the SVSM's calling area not aligned",
    "Linux could not set up its Secure TSC",
    "Linux could not map the SVSM's calling area",
    "Linux could not set up Secure AVIC",
)


def sev_reason(group: int, code: int) -> str:
    """Return the reason that a set and a code stand for; the numbers if they are not public."""
    words = {0: _GENERAL, 1: _LINUX}.get(group, ())
    return words[code] if code < len(words) else f"termination request {group:#x}:{code:#x}"
