"""Names of dumps, and settings of their formats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.core.errors import SettingsError
from onpanic.watch.rules.dump_files import FORMATS, guest_of, with_format
from onpanic.watch.rules.naming import dump_name
from onpanic.watch.rules.settings import Settings

# Names


@given(
    st.text(min_size=1),
    st.text("0123456789abcdef", max_size=36),
    st.floats(0, 4e9),
    st.sampled_from(list(FORMATS)),
)
def test_the_watchers_dumps_are_recognised(name: str, uuid: str, at: float, form: str) -> None:
    """In every format; the guest is the same in all of them."""
    path = f"/dumps/{dump_name(name, uuid, at)}"
    found = with_format(path, form)
    assert with_format(found, "elf") == path
    assert guest_of(found.removeprefix("/dumps/")) == guest_of(path.removeprefix("/dumps/")) != ""


@pytest.mark.parametrize(
    "name",
    [
        "1-guest-2026-11-27-02:01:26",  # libvirt's own
        "guest.core",
        "guest-20261127T020126Z.core.gz",
        "guest-20261127T020126Z.core.partial",
        "guest-20261127T020126Z.txt",
        ".guest-20261127T020126Z.core",
        "-20261127T020126Z.core",
        "guest-20261127T020126Z.core\n",
        "../guest-20261127T020126Z.core",
        "core.1234",
        "",
    ],
)
def test_files_of_others_are_not_the_watchers(name: str) -> None:
    assert guest_of(name) == ""


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dump_format": "kdump"}, "dump-format has no 'kdump'; the formats are elf, kdump-zlib, "),
        ({"dump_format": "elf,"}, "dump-format has no ''"),
        ({"dump_format": "win-dmp,elf", "dump_paging": True}, "dump-paging is for dump-format elf alone"),
    ],
)
def test_invalid_formats(settings: dict[str, object], message: str) -> None:
    """The message names the setting."""
    with pytest.raises(SettingsError, match=message):
        Settings(**settings)  # type: ignore[arg-type]
