"""Notes: what comes of a policy beside what it says."""

import msgspec

from onpanic.probe.decision.catalogue import CATALOGUE

__all__ = ("Note",)


class Note(msgspec.Struct, frozen=True):
    """Something that libvirt alone does not do, or a side effect of what was written.

    :param code: A code of the catalogue, of kind ``note``.
    :param reason: What it is, in one sentence.
    :param remedy: What does it instead, or what to do about it.
    """

    code: str
    reason: str
    remedy: str

    @classmethod
    def of(cls, code: str, detail: str = "") -> "Note":
        """Return the note with a code of the catalogue.

        :param detail: Added to the reason, in brackets.
        """
        entry = CATALOGUE[code]
        return cls(code, f"{entry.reason} ({detail})" if detail else entry.reason, entry.remedy)
