"""Which emulators a host has: programs, links, variants, and what libvirt says."""

import os
from pathlib import Path

import pytest

from onpanic.fleet.collecting.emulator_programs import ProgramsFound, find_programs
from onpanic.fleet.collecting.host_emulators import EmulatorSeen, emulators_seen
from onpanic.fleet.collecting.libvirt_guests import GuestArchitecture, guests_in

CAPABILITIES = """
<capabilities>
  <guest><os_type>hvm</os_type>
    <arch name='x86_64'><emulator>{common}</emulator>
      <domain type='qemu'/>
      <domain type='kvm'><emulator>{kvm}</emulator></domain>
    </arch>
  </guest>
  <guest><os_type>hvm</os_type><arch name='s390x'><domain type='qemu'/></arch></guest>
</capabilities>
"""


def program(path: Path, to: str | Path | None = None, mode: int = 0o755) -> str:
    """Make a program, or a link to one, and return its path."""
    path.parent.mkdir(exist_ok=True)
    if to is None:
        path.touch()
        path.chmod(mode)
    else:
        path.symlink_to(to)
    return str(path)


def found_in(*folders: Path) -> ProgramsFound:
    return find_programs(folders, "x86_64")


def by_path(found: ProgramsFound, guests: list[GuestArchitecture] | None = None) -> dict[str, EmulatorSeen]:
    return {one.path: one for one in emulators_seen(found.programs, guests, "x86_64")}


def test_two_names_of_a_program_are_one_emulator(tmp_path: Path) -> None:
    """It has QEMU's own name of it; the names that Debian gives it as well are not lost."""
    own = program(tmp_path / "qemu-system-x86_64")
    others = [
        program(tmp_path / "kvm", "qemu-system-x86_64"),
        program(tmp_path / "qemu-system-amd64", "kvm"),
    ]
    (seen,) = by_path(found_in(tmp_path)).values()
    assert (seen.path, seen.other_paths, seen.runs) == (own, tuple(others), ("x86_64",))


def test_a_folder_that_is_a_link_to_another_one_counts_once(tmp_path: Path) -> None:
    """/bin is a link to /usr/bin, and both are on the PATH."""
    own = program(tmp_path / "usr" / "qemu-system-x86_64")
    (tmp_path / "bin").symlink_to("usr")
    (seen,) = by_path(found_in(tmp_path / "usr", tmp_path / "bin", tmp_path / "usr")).values()
    assert (seen.path, seen.other_paths) == (own, ())


def test_a_program_with_the_names_of_two_targets_is_two_emulators(tmp_path: Path) -> None:
    """A program may choose its target by its name."""
    program(tmp_path / "qemu-system-aarch64")
    program(tmp_path / "qemu-system-arm", "qemu-system-aarch64")
    seen = emulators_seen(found_in(tmp_path).programs, None, "x86_64")
    assert [one.runs for one in seen] == [("aarch64",), ("armv6l", "armv7l")]


def test_a_variant_is_an_emulator_that_runs_no_guests_by_default(tmp_path: Path) -> None:
    for name in ("qemu-system-x86_64-microvm", "qemu-system-x86_64.bak", "qemu-system-mine"):
        program(tmp_path / name)
    seen = by_path(found_in(tmp_path))
    assert len(seen) == 3
    assert {one.runs for one in seen.values()} == {()}


def test_a_name_with_a_line_feed_is_a_name(tmp_path: Path) -> None:
    path = program(tmp_path / "qemu-system-x86_64\n")
    assert by_path(found_in(tmp_path)).keys() == {path}


@pytest.mark.parametrize("target", ["hppa", "or1k", "avr"])
def test_a_target_whose_guests_libvirt_does_not_run(target: str, tmp_path: Path) -> None:
    path = program(tmp_path / f"qemu-system-{target}")
    assert by_path(found_in(tmp_path))[path].runs == ()


def test_the_first_program_on_the_path_runs_guests(tmp_path: Path) -> None:
    first = program(tmp_path / "local" / "qemu-system-x86_64")
    second = program(tmp_path / "bin" / "qemu-system-x86_64")
    seen = by_path(found_in(tmp_path / "local", tmp_path / "bin"))
    assert (seen[first].runs, seen[second].runs) == (("x86_64",), ())


@pytest.mark.parametrize("name", ["qemu-kvm", "kvm"])
def test_a_host_whose_only_emulator_is_called_kvm(name: str, tmp_path: Path) -> None:
    """RHEL's is called qemu-kvm."""
    path = program(tmp_path / name)
    assert by_path(found_in(tmp_path))[path].runs == ("x86_64",)
    own = program(tmp_path / "qemu-system-x86_64")
    assert [one.runs for one in by_path(found_in(tmp_path)).values()] == [(), ("x86_64",)]
    assert by_path(found_in(tmp_path))[own].runs == ("x86_64",)


def test_what_is_no_program_is_left_out(tmp_path: Path) -> None:
    program(tmp_path / "qemu-system-x86_64", mode=0o644)
    (tmp_path / "qemu-system-arm").mkdir()
    program(tmp_path / "qemu-img")
    assert found_in(tmp_path, tmp_path / "missing", Path("relative")) == ProgramsFound()


def test_a_broken_link_is_a_problem(tmp_path: Path) -> None:
    """So are links in a circle; the programs beside them are found."""
    program(tmp_path / "qemu-system-i386", "../libexec/qemu-system-i386")
    program(tmp_path / "qemu-system-loop", "qemu-system-loop")
    program(tmp_path / "qemu-system-x86_64")
    found = found_in(tmp_path)
    assert len(found.programs) == 1
    broken, circle = found.problems
    assert broken == f"{tmp_path}/qemu-system-i386: a link to a missing file, ../libexec/qemu-system-i386"
    assert circle == f"{tmp_path}/qemu-system-loop: {os.strerror(40)}"


def test_libvirt_decides_which_emulator_runs_guests(tmp_path: Path) -> None:
    """Its path names the emulator, and a program that it does not have runs nothing."""
    program(tmp_path / "qemu-system-x86_64")
    link = program(tmp_path / "kvm", "qemu-system-x86_64")
    arm = program(tmp_path / "qemu-system-arm")
    guests = guests_in(CAPABILITIES.format(common="/opt/qemu-system-x86_64", kvm=link))
    seen = by_path(found_in(tmp_path), guests)
    assert seen.keys() == {link, arm, "/opt/qemu-system-x86_64"}
    assert (seen[link].runs, seen[link].domain_types) == (("x86_64",), ("kvm",))
    assert seen[link].other_paths == (f"{tmp_path}/qemu-system-x86_64",)
    assert seen[link].found_in == ("libvirt", "path")
    assert (seen[arm].runs, seen[arm].found_in) == ((), ("path",))
    other = seen["/opt/qemu-system-x86_64"]
    assert (other.runs, other.domain_types, other.found_in) == ((), ("qemu",), ("libvirt",))


def test_capabilities_without_emulators() -> None:
    """An architecture for which libvirt has no emulator is no reason to fail."""
    assert guests_in("<capabilities/>") == []
    s390x = guests_in(CAPABILITIES.format(common="/a", kvm="/b"))[1]
    assert (s390x.architecture, s390x.emulators, s390x.default) == ("s390x", {}, "")
