"""Text from outside, as messages repeat it."""

import pytest

from onpanic.core.untrusted import last_lines


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("", ""),
        ("qemu: no memory\n", "qemu: no memory"),
        ("qemu: warning: old\nqemu: no memory\n\nTry less\n", "qemu: no memory; Try less"),
        ("qemu: no memory\nTry less\nTry -m\n", "qemu: no memory; Try less; Try -m"),
        ("qemu: one\nqemu: two\nTry less\nTry -m\n", "qemu: two; Try less; Try -m"),
        ("qemu: one\nqemu: two\nqemu: three\n", "qemu: two; qemu: three"),
        ("one\ntwo\nthree\n", "two; three"),
    ],
)
def test_an_error_is_repeated_with_the_hints_that_follow_it(stderr: str, words: str) -> None:
    """The last two lines, and the error if they are only hints."""
    assert last_lines(stderr) == words
