"""What `probe` and `aprobe` refuse before they start anything."""

from typing import Any

import pytest

from onpanic.probe import UsageError, aprobe, probe

WRONG: list[tuple[Any, dict[str, Any], str]] = [
    ("qemu", {"machines": "q35"}, r"machines is the string 'q35'\nit is a list of machine types: \['q35'\]"),
    ("qemu", {"notifier": "mmio"}, r"no notifier 'mmio'\nit is one of isa, pvpanic"),
    ([], {}, "the emulator is an empty list"),
    ("qemu", {"timeout": float("nan")}, "timeout must be more than 0 seconds"),
    ("qemu", {"timeout": 0}, "timeout must be more than 0 seconds"),
    ("qemu", {"jobs": -1}, "jobs not negative"),
]


@pytest.mark.parametrize(("emulator", "options", "message"), WRONG, ids=str)
def test_wrong_arguments(emulator: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        probe(emulator, **options)


@pytest.mark.parametrize(("emulator", "options", "message"), WRONG, ids=str)
async def test_wrong_arguments_in_a_coroutine(emulator: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        await aprobe(emulator, **options)


async def test_a_coroutine_awaits_the_other_function() -> None:
    """The error says which."""
    with pytest.raises(UsageError, match="await aprobe"):
        probe("qemu")
