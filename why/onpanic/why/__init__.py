"""Why a guest panicked, read from outside.

::

    from onpanic.why import words_in_dump

    words = words_in_dump(Path("guest.elf"))
    print(words.reason, words.cause)

Names are imported when they are first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onpanic.why.readers.from_domain import words_in_domain
    from onpanic.why.readers.from_dump import words_in_dump
    from onpanic.why.readers.from_monitor import words_at_monitor, words_through_monitor
    from onpanic.why.words.last_words import LastWords
    from onpanic.why.words.text_report import report_lines
else:
    from onpanic.core.lazy_imports import lazy_imports

    __getattr__, __dir__ = lazy_imports(
        __name__,
        {
            "onpanic.why.readers.from_domain": ("words_in_domain",),
            "onpanic.why.readers.from_dump": ("words_in_dump",),
            "onpanic.why.readers.from_monitor": ("words_at_monitor", "words_through_monitor"),
            "onpanic.why.words.last_words": ("LastWords",),
            "onpanic.why.words.text_report": ("report_lines",),
        },
    )

__all__ = (
    "LastWords",
    "report_lines",
    "words_at_monitor",
    "words_in_domain",
    "words_in_dump",
    "words_through_monitor",
)
