"""Label values for metrics about panics.  Their number is bounded, whatever a guest reports.

Each value of a label is a time series of its own in Prometheus.  A guest chooses its code freely, so one
guest could make as many series as there are numbers.  Codes that are public keep their value: 405
bugcheck codes, 5 reasons of s390x, one code of TDX and 32 of SEV.  All others of a kind share one.
"""

from collections.abc import Iterator

__all__ = ("KINDS", "NO_CODE", "NO_REPORT", "OTHER", "code_label", "kind_label", "known_codes")

#: The label for what is not known in public.
OTHER = "other"

#: The kind of a panic that QEMU reports nothing about.
NO_REPORT = "unspecified"

#: The code of a panic that has none.
NO_CODE = "none"

#: QEMU's types of reports (GuestPanicInformationType in QAPI's run-state.json, QEMU 11.1).
KINDS = ("hyper-v", "s390", "tdx", "sev")

# The codes in Microsoft's "Bug Check Code Reference", in hexadecimal
_BUGCHECKS = (
    "1-82 85 8b 8e-90 92-94 96-9c 9e-a5 a7 ab-ad b1 b4 b8-bf c1-c2 c4-dc de-e4 e6-ed ef-fa fc-106 108-10a "
    "10c-10f 111-117 119-13d 140-145 147 149-171 173-175 178-179 17b-17e 187-189 18b-18e 190-193 195-19d 1a0 "
    "1a3-1a8 1b0 1c4-1d9 1db-1dc 356 bfe-bff 20001 1000007e-1000007f 1000008e 100000ea 4000008a c0000218 "
    "c000021a c0000221 deaddead"
)

# S390CrashReason in QAPI's run-state.json
_S390_REASONS = ("unknown", "disabled-wait", "extint-loop", "pgmint-loop", "opint-loop")

# TDX's Guest-Host Communication Interface defines 0 and reserves the rest
_TDX_CODES = ("0x0",)

# The GHCB specification has sets of 16 codes; 0 is its own, 1 is Linux's
_SEV_CODES = tuple(f"{group:#x}:{code:#x}" for group in range(2) for code in range(16))


def _bugchecks() -> Iterator[str]:
    for span in _BUGCHECKS.split():
        first, _, last = span.partition("-")
        yield from map(hex, range(int(first, 16), int(last or first, 16) + 1))


_KNOWN = {
    "hyper-v": frozenset(_bugchecks()),
    "s390": frozenset(_S390_REASONS),
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


def known_codes(kind: str) -> frozenset[str]:
    """Return the codes that keep their value; none for a kind that is not in `KINDS`."""
    return _KNOWN.get(kind, frozenset())
