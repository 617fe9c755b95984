"""The names and lines of builds, and the order of versions."""

from itertools import pairwise

import pytest

from onpanic.matrix.model.versions import era_of, follows, order_of, series_of
from onpanic.matrix.records.build_identity import build_name, emulator_name, line_of, target_name
from onpanic.probe.record.capability_record import Emulator

DEBIAN = "Debian 1:7.2+dfsg-7+deb12u18+b3"


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("", "upstream"),
        (" ", "upstream"),
        ("v9.0.0-rc1-12-gabc", "upstream"),
        (DEBIAN, "Debian"),
        ("Debian 1:4.2-3ubuntu6.30", "Ubuntu"),
        ("qemu-kvm-0.12.1.2", "RHEL"),
        ("qemu-kvm-6.2.0-11.el9", "RHEL"),
        ("qemu-5.2.0-3.fc34", "Fedora"),
        ("qemu-9.0.0-1.amzn2023", "amzn"),
        ("openSUSE Leap 15.5", "openSUSE"),
        ("pve-qemu-kvm_8.1.5-3", "pve-qemu-kvm"),
        ("v4.1.0-2221-g36609b4fa3", "upstream"),
    ],
)
def test_the_package_says_whose_build_it_is(package: str, line: str) -> None:
    """Only QEMU's own git, or nothing, means upstream."""
    assert line_of(package) == line


@pytest.mark.parametrize(
    ("emulator", "name"),
    [
        (Emulator(["/usr/bin/qemu-system-x86_64"], "x86_64", "1.5.3", ""), "qemu-system-x86_64-1.5.3"),
        (
            Emulator(["bwrap", "/usr/bin/qemu-system-arm"], "arm", "7.2.22", DEBIAN),
            "qemu-system-arm-7.2.22-Debian-1-7.2+dfsg-7+deb12u18+b3",
        ),
        (
            Emulator(["/usr/libexec/qemu-kvm"], "x86_64", "0.12.1", "qemu-kvm-0.12.1.2"),
            "qemu-kvm-0.12.1-qemu-kvm-0.12.1.2",
        ),
        (Emulator([], "s390x", "9.2.50", ""), "qemu-system-s390x-9.2.50"),
        (Emulator([], "", "1.5.3", ""), "qemu-1.5.3"),
        (Emulator(["./.hidden"], "", "1.5.3", ""), "hidden-1.5.3"),
        (Emulator(["q"], "x", "../../etc", "a/b c"), "q-..-..-etc-a-b-c"),
    ],
)
def test_a_build_has_a_name_that_is_valid_for_a_file(emulator: Emulator, name: str) -> None:
    """Whatever the emulator reports, the name has no slash and no leading dot."""
    assert build_name(emulator) == name
    assert name.startswith(emulator_name(emulator).lstrip("."))


ORDER = ("", "0.12.1", "1.5.3", "1.6.0", "2.12.50", "5.2.0", "7.2.22", "9.1.0", "10.0.13", "11.1.3")


@pytest.mark.parametrize(("before", "after"), list(pairwise(ORDER)))
def test_versions_have_an_order(before: str, after: str) -> None:
    """Numbers are compared as numbers, and what is not a version comes first."""
    assert order_of(before) < order_of(after)


@pytest.mark.parametrize(
    ("version", "series", "era"),
    [
        ("0.12.1", "0.12", "0.x"),
        ("1.5.3", "1.5", "1.x"),
        ("7.2.22", "7.2", "7.x"),
        ("7.2.50", "8.0", "8.x"),  # a development version of it
        ("2.12.50", "3.0", "3.x"),
        ("4.1.90", "4.2", "4.x"),
        ("6.2.92", "7.0", "7.x"),
        ("10.0.13", "10.0", "10.x"),
        ("7.2.122", "7.2", "7.x"),  # a distributor's micro number
        ("", "0.0", "0.x"),
    ],
)
def test_a_version_belongs_to_a_release(version: str, series: str, era: str) -> None:
    """A development version belongs to the next release."""
    assert (series_of(version), era_of(version)) == (series, era)


@pytest.mark.parametrize(
    ("before", "after", "adjacent"),
    [
        ("1.6.0", "1.7.0", True),
        ("1.6.1", "1.6.2", True),
        ("1.7.0", "2.0.0", True),
        ("2.12.1", "3.0.0", True),
        ("3.1.0", "4.0.0", True),
        ("9.2.0", "10.0.0", True),
        ("1.5.3", "1.7.0", False),
        ("5.2.0", "7.2.22", False),
        ("9.2.0", "10.0.13", False),  # 10.0.0 was not measured
        ("1.6.0", "1.6.2", False),
        ("7.2.50", "8.0.0", False),
        ("1.7.0", "5.2.0", False),
    ],
)
def test_releases_may_lie_between_two_versions(before: str, after: str, adjacent: bool) -> None:
    """Only if none does, a change is known to be in the second."""
    assert follows(before, after) is adjacent


def test_a_long_name_is_cut_and_stays_unique() -> None:
    """A file name may have 255 bytes."""
    names = {build_name(Emulator(["q"], "", "1.5.3", "x" * 300 + end)) for end in "ab"}
    assert len(names) == 2
    assert all(len(name) < 200 for name in names)


@pytest.mark.parametrize(
    ("name", "reported", "target"),
    [
        ("qemu-system-mipsel", "mips", "mipsel"),  # what 11.1 reports
        ("qemu-system-x86_64-microvm", "x86_64", "x86_64"),
        ("qemu-system-x86_64", "", "x86_64"),
        ("qemu-system-ppc64le", "ppc64", "ppc64le"),
        ("qemu-system-host", "x86_64", "x86_64"),
        ("qemu-kvm", "x86_64", "x86_64"),
    ],
)
def test_a_target_has_one_name_in_all_versions(name: str, reported: str, target: str) -> None:
    """The program's name wins where it is more exact."""
    assert target_name(Emulator([name], reported, "1", "")) == target
