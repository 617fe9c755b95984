"""Command lines as users have them in scripts, probed on real QEMUs."""

import json
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.matrix.debian import Root
from onpanic.probe import CapabilityRecord, probe
from onpanic.probe.emulator.option_table import OPTIONS
from onpanic.probe.emulator.user_options import emulator_position

from .command_lines import COMMAND_LINES, CommandLine
from .inotify import watched

pytestmark = pytest.mark.emulators

SUITES = ("bullseye", "bookworm", "trixie", "sid")
QEMU = "qemu-system-x86_64"
Run = Callable[..., subprocess.CompletedProcess[str]]

#: Names of files of the user.
FILES = ("disk", "kernel", "initrd", "rom", "key", "config", "bios", "table", "input", "splash", "fw")


@pytest.fixture
def qemu(unavailable: Callable[[str], NoReturn]) -> str:
    """Return the host's emulator."""
    return shutil.which(QEMU) or unavailable(f"no {QEMU} here")


def options_of(command: Sequence[str]) -> set[str]:
    """Return the options that an emulator's ``-help`` lists, without dashes."""
    done = subprocess.run([*command, "-help"], capture_output=True, text=True, timeout=60, check=True)
    heads = re.findall(r"^-\S+(?: or -\S+)*", done.stdout, re.MULTILINE)
    return {name for head in heads for name in re.findall(r"(?:^|[/ ])--?([A-Za-z][\w-]*)", head)}


@pytest.mark.parametrize("suite", SUITES)
def test_the_table_has_every_option_of_every_emulator(suite: str, debian_root: Callable[[str], Root]) -> None:
    """An option that is unknown would be passed to QEMU, whatever it opens."""
    root = debian_root(suite)
    found = {emulator: options_of(root.command(emulator)) for emulator in root.emulators()}
    assert all(len(options) > 80 for options in found.values())
    unknown = {emulator: options - OPTIONS.keys() for emulator, options in found.items()}
    assert {emulator: options for emulator, options in unknown.items() if options} == {}


@pytest.mark.parametrize("suite", SUITES)
def test_the_table_knows_which_options_take_an_argument(
    suite: str, debian_emulator: Callable[..., list[str]]
) -> None:
    """Else an argument would be taken for a disk image, or a disk image for an argument."""
    command = debian_emulator(suite)

    def takes_argument(option: str) -> bool:
        words = [*command, "-machine", "nosuch", f"-{option}"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert "invalid option" not in done.stderr
        return "requires an argument" in done.stderr

    options = sorted(options_of(command))
    with ThreadPoolExecutor(4) as pool:
        answers = dict(zip(options, pool.map(takes_argument, options), strict=True))
    assert answers == {option: OPTIONS[option].takes_argument for option in options}


@pytest.mark.parametrize("line", COMMAND_LINES.values(), ids=COMMAND_LINES)
def test_a_command_line_is_probed_as_it_stands(line: CommandLine, qemu: str) -> None:
    """The machine type that it names is probed, and its device works."""
    position = emulator_position(line.written)
    assert position is not None
    options = [word for word in line.written[position + 1 :] if word not in ("-id", "100")]  # Proxmox's own
    record = probe([qemu, *(word.replace("pc+pve0", "pc") for word in options)])
    assert record.problems == []
    (machine,) = record.machines
    assert line.machine in (machine.name, *machine.aliases)
    assert {machine.facts[name].answer for name in ("panic-reported", "cont-after-panic")} == {"yes"}
    assert record.emulator.changes
    assert CapabilityRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    ("emulator", "options", "left_out"),
    [
        (
            "qemu-system-aarch64",
            "-M virt,gic-version=host,ras=on -cpu host -bios QEMU_EFI.fd -smp 9 -device virtio-gpu-pci",
            1,
        ),
        ("qemu-system-s390x", "-M s390-ccw-virtio -cpu gen15a-base,msa9=on -drive if=virtio,file=x", 1),
        ("qemu-system-ppc64", "-M pseries,cap-htm=on -cpu host -m 8G -prom-env auto-boot?=false", 2),
        ("qemu-system-riscv64", "-M virt -cpu host -kernel Image -smp 2", 2),
        # Only its default devices bring a USB bus
        ("qemu-system-ppc", "-M mac99,via=pmu -device usb-mouse -hda disk.img", 1),
    ],
)
def test_command_lines_of_other_targets(
    emulator: str, options: str, left_out: int, debian_emulator: Callable[..., list[str]]
) -> None:
    record = probe([*debian_emulator("trixie", emulator), *options.split()])
    assert record.problems == []
    name = options.split()[1].partition(",")[0]
    assert name in (record.machines[0].name, *record.machines[0].aliases)
    assert record.accepts("pause")
    assert sum(not change.became for change in record.emulator.changes) == left_out


@pytest.mark.parametrize(
    "options",
    [
        # libvirt's video card is in slot 1, which is the first free one
        '-nodefaults -M q35 -device \'{"driver":"VGA","bus":"pcie.0","addr":"0x1"}\'',
        "-nodefaults -M q35 -device pxb-pcie,bus_nr=128",
        "-nodefaults -M pc -device pxb,bus_nr=128",
        "-nodefaults -M q35 -readconfig q35.cfg -device usb-tablet,bus=ehci.0 -device VGA,bus=pcie.0,addr=1",
    ],
)
def test_the_pci_notifier_finds_a_place_beside_the_users_devices(options: str, qemu: str) -> None:
    (machine,) = probe([qemu, *shlex.split(options)], notifier="pvpanic").machines
    found = machine.notifier_named("pvpanic")
    assert found is not None
    assert {name: fact.answer for name, fact in found.facts.items() if name != "acpi-exposes-pvpanic"} == {
        "pvpanic-attachable": "yes",
        "panic-reported": "yes",
        "panic-action": "pause",
        "panic-stops-guest": "yes",
        "cont-after-panic": "yes",
    }


def test_the_machine_type_of_a_command_line_decides_what_is_made_to_panic(
    debian_emulator: Callable[..., list[str]],
) -> None:
    """As that of --machine does."""
    command = debian_emulator("trixie", "qemu-system-ppc64")
    (machine,) = probe([*command, "-M", "powernv10"]).machines
    assert machine.name == "powernv10"
    assert machine.facts["checkstop-reported"].answer == "yes"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("-M q35 -smp 4 -device nosuch", "-device nosuch: 'nosuch' is not a valid device model name"),
        ("-M q35,vmport=off -device nosuch -serial stdio", "-device nosuch: 'nosuch' is not a valid"),
        ("-M q35,nosuch=on", "machine.nosuch' not found"),
        ("-smp 4 -nosuch", "-nosuch: invalid option"),
        ("-M nosuch,accel=kvm -smp 4", "unsupported machine type"),
        ("-cpu nosuch", "unable to find CPU model 'nosuch'"),
        ("-device hda-duplex,audiodev=nosuch", "No 'HDA' bus found for device 'hda-duplex'"),
    ],
)
def test_errors_are_those_of_the_users_own_start(options: str, words: str, qemu: str, onpanic: Run) -> None:
    """A later start, which asks about the emulator only, has others, or none."""
    done = onpanic("probe", "--", qemu, *options.split())
    assert done.returncode == 2
    assert words in done.stderr
    assert "none" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    record = json.loads(onpanic("probe", "--format", "json", "--", qemu, *options.split()).stdout)
    assert record["facts"]["pvpanic-type"]["answer"] == "yes"


def test_a_machine_type_that_is_named_overrides_the_command_lines(qemu: str) -> None:
    """Its properties stay, as with QEMU's own -machine; none has no properties."""
    record = probe([qemu, "-M", "q35,vmport=off"], machines=["pc", "none"])
    assert [machine.aliases or [machine.name] for machine in record.machines] == [["pc"], ["none"]]
    assert record.problems == []


@contextmanager
def listeners(folder: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Listen on ``listening`` in a folder, and on a TCP port."""
    with (
        closing(socket.socket(socket.AF_UNIX)) as local,
        closing(socket.create_server(("127.0.0.1", 0))) as tcp,
    ):
        local.bind(str(folder / "listening"))
        local.listen()
        for one in (local, tcp):
            one.setblocking(False)
        yield local, tcp


def test_nothing_of_the_users_is_opened_written_or_connected_to(folder: Path, qemu: str) -> None:
    """Not even what is not needed to start: files stay closed, and sockets see no connection."""
    for name in FILES:
        (folder / name).write_bytes(b"\0" * 1024)
    with listeners(folder) as (local, tcp), watched(folder) as watch:
        port = tcp.getsockname()[1]
        options = f"""
            -M q35,memory-backend=ram,dumpdtb={folder}/dtb -enable-kvm -cpu host -smp 2 -m 64G
            -object memory-backend-file,id=ram,size=64G,mem-path={folder}/ram
            -object secret,id=s0,file={folder}/key -object rng-random,id=rng0,filename={folder}/input
            -kernel {folder}/kernel -initrd {folder}/initrd -append console=ttyS0 -bios {folder}/bios
            -drive file={folder}/disk,if=none,id=d0,format=raw -device virtio-blk-pci,drive=d0
            -hda {folder}/disk -cdrom {folder}/disk -pflash {folder}/disk
            -blockdev file,node-name=n,filename={folder}/disk -serial stdio -monitor stdio
            -qmp unix:{folder}/qmp,server=on,wait=off -parallel file:{folder}/parallel
            -chardev socket,id=c0,path={folder}/listening
            -device virtio-serial -device virtserialport,chardev=c0
            -chardev socket,id=c1,host=127.0.0.1,port={port} -mon chardev=c1 -debugcon file:{folder}/debug
            -netdev socket,id=net0,connect=127.0.0.1:{port} -device e1000,netdev=net0
            -device e1000,romfile={folder}/rom -option-rom {folder}/rom -acpitable data={folder}/table
            -device virtio-rng-pci,rng=rng0 -device loader,file={folder}/kernel,force-raw=on,addr=0
            -device ipmi-bmc-sim,id=bmc,sdrfile={folder}/config -fw_cfg name=opt/x,file={folder}/fw
            -smbios file={folder}/table -boot menu=on,splash={folder}/splash -readconfig {folder}/config
            -vnc unix:{folder}/vnc -spice unix=on,addr={folder}/spice,disable-ticketing=on
            -gdb tcp:127.0.0.1:{port}
            -D {folder}/log -d int -trace file={folder}/trace -pidfile {folder}/pid -daemonize -snapshot
            -icount shift=auto,rr=record,rrfile={folder}/replay -incoming unix:{folder}/incoming
            -dump-vmstate {folder}/vmstate -virtfs local,path={folder},mount_tag=t,security_model=none
            -audiodev wav,id=a0,path={folder}/wav -tpmdev passthrough,id=t0,path={folder}/input
            -perfmap -jitdump -chroot {folder} -msg timestamp=on {folder}/disk
        """
        record = probe([qemu, *options.split()])
        assert record.problems == []
        assert record.accepts("pause")
        assert watch.names() == set()
        for one in (local, tcp):
            with pytest.raises(BlockingIOError):
                one.accept()
        (folder / "disk").open().close()
        assert "disk" in watch.names()  # so that the silence above means something


def test_check_and_accept_take_a_command_line_as_well(qemu: str, onpanic: Run) -> None:
    """They answer about it, without what a probe leaves out."""
    command = ("--", qemu, "-M", "q35", "-m", "64G", "-cpu", "host", "-serial", "stdio", "-hda", "nosuch.img")
    assert onpanic("accept", "restart", *command).stdout == "accepted (by the isa notifier)\n"
    assert onpanic("check", *command).returncode == 0


def test_the_screen_says_what_was_changed(qemu: str, onpanic: Run) -> None:
    """A line for each change, under the title."""
    done = onpanic("probe", "--", qemu, "-cpu", "host", "-monitor", "stdio", "-smp", "2")
    assert done.stdout.splitlines()[1:4] == [
        "  replaced: -cpu host by -cpu max (needs KVM)",
        "  left out: -monitor stdio (opens a console or a monitor)",
        "",
    ]


def test_the_users_options_decide_what_a_panic_does(qemu: str) -> None:
    """The probe's -no-shutdown comes first, as libvirt's does, and can be overridden."""
    record = probe([qemu, "-action", "shutdown=poweroff"])
    assert record.machines[0].facts["panic-stops-guest"].answer == "no"
    assert probe([qemu, "-action", "shutdown=pause"]).accepts("pause")
