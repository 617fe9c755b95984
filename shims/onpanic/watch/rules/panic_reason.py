"""Why a guest panicked, as far as it was read from its memory, and where all of it is kept."""

import msgspec

__all__ = ("PanicReason", "shortened")

_REASON_LIMIT = 256  # bytes in UTF-8


class PanicReason(msgspec.Struct, frozen=True):
    """Why a guest panicked.  All but `file` comes from the guest.

    :param kind: The kind of the panic, see `LastWords.kind`; empty if it is not known.
    :param reason: The reason with its cause, at most 256 bytes; empty if it is not known.
    :param file: The file with all that was read; empty if there is none.
    :param detail: Why something is not known, or not in a file; empty if nothing is to be said.
    """

    kind: str = ""
    reason: str = ""
    file: str = ""
    detail: str = ""


def shortened(text: str) -> str:
    """Return a text, or its beginning if it has more than 256 bytes in UTF-8."""
    content = text.encode("utf-8", "replace")
    if len(content) <= _REASON_LIMIT:
        return content.decode()
    return content[: _REASON_LIMIT - 3].decode("utf-8", "ignore") + "…"
