"""Label values for metrics about panics.  Their number is bounded, whatever a guest reports.

Each value of a label is a time series of its own in Prometheus.  A guest chooses its code freely, so one
guest could make as many series as there are numbers.  Codes that are public keep their value: 425
bugcheck codes, 5 reasons of s390x, one code of TDX and 32 of SEV.  All others of a kind share one.
"""

from onpanic.why.kernel_log.kernel_panic import KINDS as KERNEL_KINDS
from onpanic.why.windows.bugcheck_names import BUGCHECKS
from onpanic.why.words.s390_wait import S390_REASONS

__all__ = (
    "KINDS",
    "NO_CODE",
    "NO_REPORT",
    "OTHER",
    "REASONS",
    "code_label",
    "kind_label",
    "known_codes",
    "reason_label",
)

#: The label for what is not known in public.
OTHER = "other"

#: The kind of a panic that QEMU reports nothing about.
NO_REPORT = "unspecified"

#: The code of a panic that has none.
NO_CODE = "none"

#: The label for the kind of a panic of which nothing was read.
UNKNOWN = "unknown"

#: The labels for the kinds that `LastWords.kind` has after a reading of memory.
REASONS = (*(kind for kind in KERNEL_KINDS if kind != OTHER), "bugcheck", *S390_REASONS[1:], OTHER, UNKNOWN)

#: QEMU's types of reports (GuestPanicInformationType in QAPI's run-state.json, QEMU 11.1).
KINDS = ("hyper-v", "s390", "tdx", "sev")

# TDX's Guest-Host Communication Interface defines 0 and reserves the rest
_TDX_CODES = ("0x0",)

# The GHCB specification has sets of 16 codes; 0 is its own, 1 is Linux's
_SEV_CODES = tuple(f"{group:#x}:{code:#x}" for group in range(2) for code in range(16))


_KNOWN = {
    "hyper-v": frozenset(map(hex, BUGCHECKS)),
    "s390": frozenset(S390_REASONS),
    "tdx": frozenset(_TDX_CODES),
    "sev": frozenset(_SEV_CODES),
}


def kind_label(kind: str) -> str:
    """Return the label for the kind of a panic.

    :param kind: See `PanicDetails.kind`.
    """
    if not kind:
        return NO_REPORT
    return kind if kind in KINDS else OTHER


def code_label(kind: str, code: str) -> str:
    """Return the label for the code of a panic.

    :param kind: See `PanicDetails.kind`.
    :param code: See `PanicDetails.code`.
    """
    if not code:
        return NO_CODE
    return code if code in known_codes(kind) else OTHER


def reason_label(kind: str) -> str:
    """Return the label for the kind of a panic that was read from a guest's memory.

    :param kind: See `PanicReason.kind`.
    """
    if not kind:
        return UNKNOWN
    return kind if kind in REASONS else OTHER


def known_codes(kind: str) -> frozenset[str]:
    """Return the codes that keep their value; none for a kind that is not in `KINDS`."""
    return _KNOWN.get(kind, frozenset())
