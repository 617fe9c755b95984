"""What a probe makes of a user's command line: what is kept, what is replaced, what is left out."""

import shlex
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.probe.emulator.command_line import command_line, guess_target, program_name
from onpanic.probe.emulator.option_table import OPTIONS
from onpanic.probe.emulator.user_options import (
    adapt,
    emulator_alone,
    emulator_position,
    target_in,
    without_options,
)

from .command_lines import COMMAND_LINES, CommandLine

QEMU = "qemu-system-x86_64"


def left(options: str, emulator: str = QEMU) -> str:
    """Return what is left of options."""
    command = adapt([*shlex.split(emulator), *shlex.split(options)]).command
    return shlex.join(command[len(shlex.split(emulator)) :])


def counted(words: list[str]) -> Counter[str]:
    return Counter(" ".join(words).split())


@pytest.mark.parametrize("line", COMMAND_LINES.values(), ids=COMMAND_LINES)
def test_command_lines_of_scripts(line: CommandLine) -> None:
    """What opens something is left out; machine type, CPUs and harmless devices stay."""
    assert adapt(line.written).command == line.left


@pytest.mark.parametrize(
    ("command", "position"),
    [
        ("qemu-system-x86_64 -M q35", 0),
        ("/usr/libexec/qemu-kvm -name qemu-kvm", 0),
        ("qemu-system-x86_64-microvm -M microvm", 0),
        ("./qemu-system-aarch64-9.2.1 -M virt", 0),
        ("qemu-system-x86_64.exe -M q35", 0),
        ("kvm disk.img", 0),
        ("/usr/bin/kvm-spice -S -m 512", 0),
        ("qemu disk.img", 0),
        ("nice -n 5 kvm -m 512", 3),
        ("sudo -u qemu -g kvm /usr/bin/kvm -accel kvm", 5),
        ("sudo -u kvm kvm -m 512", 3),
        ("ssh kvm qemu-system-x86_64 -m 4", 2),
        ("ssh kvm -t qemu-system-x86_64 -m 4", 3),
        ("strace -o qemu-system-x86_64.log qemu-system-x86_64 -name kvm", 3),
        (
            "bwrap --ro-bind /bin/qemu-system-arm /bin/qemu-system-arm /bin/qemu-system-arm -s",
            4,
        ),
        ("qemu-system-x86_64 -name qemu-system-arm -kernel /boot/kvm", 0),
        ("env QEMU_AUDIO_DRV=none qemu-system-arm -M virt", 2),
        ("./run.sh -m 64G", None),
        ("python -m played.emulator", None),
        ("ssh kvm ./run.sh -m 4", None),
        ("sudo -u kvm ./run.sh -m 4", None),
        ("podman run --entrypoint qemu-system-x86_64 image -m 4", None),
        ("sh -c 'qemu-system-x86_64 -m 64G'", None),
        ("", None),
    ],
)
def test_which_word_names_the_emulator(command: str, position: int | None) -> None:
    """Wrappers come before it, and it is not an argument of an option."""
    assert emulator_position(shlex.split(command)) == position


@pytest.mark.parametrize(
    "command", ["./run.sh -m 64G -serial stdio disk.img", "python -m emulator -s", "true"]
)
def test_a_command_that_names_no_emulator_is_not_changed(command: str) -> None:
    """A script's options are its own, whatever they look like."""
    words = shlex.split(command)
    assert adapt(words) == (words, [])
    assert emulator_alone(words) == words
    assert without_options(words, "m", "s") == words


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Two dashes are one; what takes no argument takes none
        ("--serial stdio --smp 2", "--smp 2"),
        ("-snapshot -smp 2 -curses", "-smp 2"),
        ("-s -S", "-S"),
        ("-daemonize disk.img -usb", "-usb"),
        # What opens nothing stays
        ("-serial none -parallel none -monitor none -display none -net none -nic none", "unchanged"),
        ("-bios none", "unchanged"),
        ("-bios OVMF.fd", ""),
        (
            "-nodefaults -nographic -no-reboot -no-shutdown -action panic=none -watchdog-action none",
            "unchanged",
        ),
        ("-global pvpanic.ioport=0 -device pvpanic,events=2 -device pvpanic-pci", "unchanged"),
        ("-nosuch value -M q35", "unchanged"),
        # Accelerators
        ("-enable-kvm -accel tcg,thread=single -no-kvm", ""),
        ("-machine accel=kvm:tcg", ""),
        ("-machine type=q35,accel=kvm,smm=on", "-machine type=q35,smm=on"),
        ("-M pc,memory-encryption=sev0,kernel-irqchip=on", "-M pc,kernel-irqchip=on"),
        ("-M q35,confidential-guest-support=tdx0,pflash0=code", "-M q35"),
        ("-M virt,dumpdtb=virt.dtb,dtb=own.dtb", "-M virt"),
        ("-M q35,sgx-epc.0.memdev=mem1,sgx-epc.0.node=0,hmat=on", "-M q35"),
        (
            '-machine \'{"type": "q35", "accel": "kvm", "smm": true}\'',
            '-machine \'{"type": "q35", "smm": true}\'',
        ),
        # CPUs
        ("-cpu host", "-cpu max"),
        ("-cpu host,+invtsc,hv-crash", "-cpu max,+invtsc,hv-crash"),
        ("-cpu EPYC,enforce,phys-bits=46", "-cpu EPYC"),
        ("-cpu EPYC,enforce=off", "unchanged"),
        ("-device host-x86_64-cpu,socket-id=1", ""),
        (
            "-cpu host,hv-relaxed=on,hv-vpindex=on,hv-synic=on,hv_vpindex",
            "-cpu max,hv-relaxed=on,hv-synic=on",
        ),
        ("-cpu max,hv-vpindex=off", "unchanged"),
        # Devices that need KVM's Hyper-V, its interrupt controller, or the guest's memory
        ("-device vmbus-bridge,id=v -device hv-balloon,id=b", ""),
        ("-device intel-iommu,intremap=on,eim=on", "-device intel-iommu,intremap=on"),
        (
            '-device \'{"driver": "intel-iommu", "eim": "on", "pt": true}\'',
            '-device \'{"driver": "intel-iommu", "pt": true}\'',
        ),
        ("-device intel-iommu,eim=off -device virtio-vga,blob=off", "unchanged"),
        ("-device virtio-gpu-pci,blob=true,id=g", "-device virtio-gpu-pci,id=g"),
        # Devices by what they refer to, in any order, and by what they are connected to
        ("-device virtio-net-pci,netdev=n,id=x -netdev user,id=n", ""),
        ("-device e1000", "unchanged"),
        ("-device virtio-rng-pci,rng=r -object rng-random,id=r,filename=/dev/hwrng", ""),
        ("-device virtio-rng-pci,rng=r -object rng-builtin,id=r", "unchanged"),
        ("-device usb-host,hostbus=1,id=hub -device usb-kbd,bus=hub.0", ""),
        ("-device virtio-scsi,id=scsi0 -device scsi-hd,bus=scsi0.0,drive=d", "-device virtio-scsi,id=scsi0"),
        ("-device virtio-net-pci,romfile=", "unchanged"),
        ("-device virtio-net-pci,romfile=own.rom", ""),
        ("-device loader,file=kernel.elf -device guest-loader,kernel=x,addr=1", ""),
        ("-device pxb-pcie,id=p,numa_node=1 -numa node", "-device pxb-pcie,id=p"),
        ("-device isa-fdc,driveA=floppy0 -device pci-serial-2x,chardev1=c,chardev2=d", ""),
        ("-device cxl-type3,cdat=table.bin -device usb-kbd,pcap=usb.pcap -device hv-syndbg,host_ip=::1", ""),
        ("-device virtio-vga,virgl=on", ""),
        ("-device virtio-vga-gl -device virtio-gpu-gl-pci,id=g -device virtio-ramfb-gl", ""),
        ("-device virtio-vga,id=gl", "unchanged"),
        # Buses of devices in a file
        (
            "-readconfig q35.cfg -device usb-kbd,bus=ehci.0 -device VGA,bus=pcie.0 -set device.ehci.x=1",
            "-device VGA,bus=pcie.0",
        ),
        (
            '-device usb-hub,id=u -device usb-kbd,bus=u.0 -readconfig f -device \'{"driver":"x","bus":"p"}\'',
            "-device usb-hub,id=u -device usb-kbd,bus=u.0",
        ),
        ("-device usb-kbd,bus=ehci.0 -set device.ehci.x=1", "unchanged"),
        ('-device \'{"driver": "virtio-blk-pci", "drive": "d"}\'', ""),
        (
            '-device \'{"driver": "virtio-blk-pci", "x": [{"iothread": "m0"}]}\' -object secret,id=m0,file=s',
            "",
        ),
        ("-device '{broken' -device nosuch", "unchanged"),
        ("-set device.gpu.x=1 -device vfio-pci,host=01:00.0,id=gpu", ""),
        ("-set drive.d.file=disk.img -set device.kept.x=1", "-set device.kept.x=1"),
        (
            "-global isa-fdc.driveA=floppy0 -global virtio-net-pci.romfile=x -global e1000.romfile=",
            "-global e1000.romfile=",
        ),
        ("-global driver=isa-fdc,property=driveA,value=floppy0", ""),
        # Objects
        ("-object memory-backend-ram,id=m,size=64G -M pc,memory-backend=m", "-M pc"),
        ("-object thread-context,id=t,node-affinity=0 -device pvpanic", "-device pvpanic"),
        ("-object iothread,id=io -object secret,id=s,data=x -object throttle-group,id=t", "unchanged"),
        ("-object secret,id=k,file=key -object secret,id=s,keyid=k,data=x", ""),
        ("-object tls-creds-x509,id=t,dir=/etc/pki -object input-linux,id=i,evdev=/dev/input/event0", ""),
        # Sound
        (
            "-audiodev pa,id=a,server=x -device hda-duplex,audiodev=a",
            "-audiodev none,id=a -device hda-duplex,audiodev=a",
        ),
        ("-audiodev none,id=a", "unchanged"),
        ("-audio pa,model=hda", "-audio none,model=hda"),
        ("-device AC97 -device intel-hda -soundhw hda", "-device intel-hda"),
        # Options that open something with some values only
        ("-smbios type=1,serial=x -smbios file=smbios.bin -smbios type=11,path=x", "-smbios type=1,serial=x"),
        ("-fw_cfg name=opt/x,string=y -fw_cfg opt/z,file=z", "-fw_cfg name=opt/x,string=y"),
        ("-boot menu=on,splash=logo.bmp -boot d", "-boot menu=on -boot d"),
        ("-icount shift=7,rr=replay,rrfile=x", "-icount shift=7"),
        ("-overcommit mem-lock=on,cpu-pm=on -overcommit mem-lock=on", "-overcommit cpu-pm=on"),
        ("-overcommit mem-lock=off -realtime mlock=off", "unchanged"),
        ("-usbdevice tablet -usbdevice host:1.2 -usbdevice serial::pty", "-usbdevice tablet"),
        # A machine that is made later, guests that are loaded
        ("-preconfig -incoming defer -loadvm tag -compat deprecated-input=crash", ""),
        # A doubled comma stands for a comma
        ("-name a,,b -smbios type=1,serial=a,,file=b", "unchanged"),
        ("-M q35,x=a,,accel=kvm,accel=kvm", "-M q35,x=a,,accel=kvm"),
        # Incomplete ones are left to QEMU
        ("-smp", "unchanged"),
        ("-", "unchanged"),
        ("-device ''", "unchanged"),
    ],
)
def test_options(options: str, expected: str) -> None:
    """An option is kept, replaced or left out, by its name or by its value."""
    assert left(options) == shlex.join(shlex.split(options if expected == "unchanged" else expected))


@pytest.mark.parametrize(
    ("options", "device"),
    [
        ("-device VGA", "pvpanic-pci,bus=pci.1,id=onpanic"),
        (
            '-device e1000 -device \'{"driver":"VGA"}\'',
            '{"driver": "pvpanic-pci", "bus": "pci.1", "id": "onpanic"}',
        ),
        ('-object \'{"qom-type":"iothread","id":"i"}\'', "pvpanic-pci,bus=pci.1,id=onpanic"),
    ],
)
def test_the_probes_device_is_the_last_one(options: str, device: str) -> None:
    """QEMU creates devices that are written as JSON after all others."""
    words = command_line([QEMU, *shlex.split(options)], "pc", device="pvpanic-pci", bus="pci.1")
    assert [words[n + 1] for n, word in enumerate(words) if word == "-device"][-1] == device


def test_another_target_has_no_cpu_max() -> None:
    """Of the targets that KVM has, some got ``max`` later than ``host``, or never."""
    assert left("-cpu host", "qemu-system-ppc64") == ""
    assert left("-cpu host", "qemu-system-riscv64") == ""


@pytest.mark.parametrize(
    ("target", "options", "expected"),
    [
        ("aarch64", "-cpu host,sve=on,kvm-steal-time=off,aarch64=off", "-cpu max,sve=on"),
        ("aarch64", "-cpu cortex-a57,kvm-no-adjvtime=on,pmu=off", "-cpu cortex-a57,pmu=off"),
        ("aarch64", "-M virt,accel=kvm,gic-version=host,its=on", "-M virt,gic-version=max,its=on"),
        (
            "aarch64",
            '-machine \'{"type": "virt", "gic-version": "host"}\'',
            '-machine \'{"type": "virt", "gic-version": "max"}\'',
        ),
        ("aarch64", "-M virt,gic-version=3", "unchanged"),
        ("aarch64", "-M virt,ras=on -bios QEMU_EFI.fd", "-M virt"),
        ("s390x", "-cpu host,ap=on,apft=on", "-cpu max"),
        ("s390x", "-cpu gen15a-base,aen=on,msa9=on", "-cpu max"),
        ("s390x", "-cpu z14ZR1-base", "-cpu max"),
        ("s390x", "-cpu zEC12.2", "-cpu max"),
        ("s390x", "-cpu qemu -cpu max,vx=off -cpu nosuch", "unchanged"),
        ("ppc64", "-M pseries,cap-htm=on,cap-nested-hv=true,cap-ibs=broken", "-M pseries,cap-ibs=broken"),
        ("ppc64", "-M pseries,cap-htm=off", "unchanged"),
        ("loongarch64", "-cpu la464,lbt=off,lsx=on", "-cpu la464,lsx=on"),
    ],
)
def test_what_needs_kvm_is_replaced_or_left_out(target: str, options: str, expected: str) -> None:
    """A probe emulates the CPU, and QEMU would not start with it."""
    wanted = shlex.join(shlex.split(options if expected == "unchanged" else expected))
    assert left(options, f"qemu-system-{target}") == wanted


def test_changes_say_what_and_why() -> None:
    """A change names the option as it was, what it became, and the reason."""
    changes = adapt(
        [QEMU, "-cpu", "host", "-device", "e1000,netdev=n", "-netdev", "user,id=n", "x.img"]
    ).changes
    assert changes == [
        ("-cpu host", "-cpu max", "needs KVM"),
        ("-device e1000,netdev=n", "", "needs netdev=n, which is left out"),
        ("-netdev user,id=n", "", "connects to a network"),
        ("x.img", "", "opens a disk image"),
    ]


def test_the_users_options_override_no_shutdown() -> None:
    """As under libvirt, which puts it first."""
    words = command_line(["nice", QEMU, "-action", "shutdown=poweroff"], None)
    assert words[:5] == ["nice", QEMU, "-no-shutdown", "-action", "shutdown=poweroff"]


def test_a_script_gets_no_shutdown_behind_its_own_arguments() -> None:
    assert command_line(["./run.sh", "-x"], None)[:3] == ["./run.sh", "-x", "-no-shutdown"]


def test_the_machine_type_none_gets_no_properties_of_another_one() -> None:
    """It would refuse them: Property 'none-machine.vmport' not found."""
    words = command_line([QEMU, "-M", "q35,vmport=off", "-smp", "4"], "none")
    assert words[1:4] == ["-no-shutdown", "-smp", "4"]
    assert "q35,vmport=off" not in words


def test_the_emulator_alone_gets_none_of_the_users_options() -> None:
    words = command_line(["nice", QEMU, "-M", "q35,vmport=off", "-device", "nosuch"], "none", alone=True)
    assert words[:3] == ["nice", QEMU, "-no-shutdown"]
    assert not {"nosuch", "q35,vmport=off"} & set(words)


@pytest.mark.parametrize(
    ("command", "target", "name"),
    [
        ("qemu-system-arm -pidfile qemu-system-ppc.pid", "arm", "qemu-system-arm"),
        ("/usr/libexec/qemu-kvm -name qemu-web", "x86_64", "qemu-kvm"),
        ("ssh host qemu-system-aarch64-9.2 -M virt", "aarch64", "qemu-system-aarch64-9.2"),
    ],
)
def test_the_name_is_the_emulators_not_an_arguments(command: str, target: str, name: str) -> None:
    words = shlex.split(command)
    assert (target_in(words), guess_target(words), program_name(words)) == (target, target, name)


_TOKENS = st.integers(0, 9).map("token{}".format)
_KEYS = st.sampled_from(
    (
        "id",
        "drive",
        "netdev",
        "chardev",
        "bus",
        "file",
        "driver",
        "type",
        "accel",
        "romfile",
        "rng",
        "memdev",
        "x",
    )
)
_VALUES = st.one_of(
    _TOKENS,
    st.sampled_from(
        ("none", "host", "pvpanic", "e1000", "host,enforce", "secret,id=token1,file=x", "kvm", "")
    ),
    st.lists(st.tuples(_KEYS, _TOKENS).map("=".join), min_size=1, max_size=4).map(",".join),
    st.dictionaries(_KEYS, _TOKENS, max_size=4).map(str).map(lambda text: text.replace("'", '"')),
)
_OPTIONS = st.builds(
    lambda name, dashes, value: [f"{dashes}{name}", *([value] if OPTIONS[name].takes_argument else [])],
    st.sampled_from(sorted(OPTIONS)),
    st.sampled_from(("-", "--")),
    _VALUES,
)
_WORDS = st.lists(st.one_of(_OPTIONS, _VALUES.map(lambda word: [word])), max_size=12).map(
    lambda options: [word for option in options for word in option]
)


@given(_WORDS)
def test_adapting_twice_is_adapting_once(words: list[str]) -> None:
    """What is left opens nothing any more."""
    once = adapt([QEMU, *words])
    again = adapt(once.command)
    assert again.command == once.command
    assert again.changes == []


@given(_WORDS)
def test_every_word_is_kept_or_in_a_change(words: list[str]) -> None:
    """Nothing disappears without being said."""
    adapted = adapt([QEMU, *words])
    expected = counted([QEMU, *words])
    expected.subtract(counted([change.option for change in adapted.changes]))
    expected.update(counted([change.became for change in adapted.changes]))
    assert +expected == counted(adapted.command)
    assert all(change.why for change in adapted.changes)


@given(
    st.sampled_from(sorted(name for name, option in OPTIONS.items() if option.why and option.takes_argument))
)
def test_a_value_of_what_is_left_out_does_not_survive(name: str) -> None:
    """Not in another option, either: what refers to it is left out as well."""
    words = [f"-{name}", "user,id=secret0,path=secret0", "-device", "virtio-rng-pci,rng=secret0,id=dev0"]
    command = adapt([QEMU, *words, "-M", "q35,memory-backend=secret0", "-smp", "2"]).command
    if name in ("netdev", "nic", "net", "chardev", "drive", "fsdev", "virtfs", "tpmdev"):
        assert command == [QEMU, "-M", "q35", "-smp", "2"]
    assert "user,id=secret0,path=secret0" not in command


@given(st.lists(st.text(max_size=8), max_size=12))
def test_any_words_can_be_adapted(words: list[str]) -> None:
    """A command line is whatever a user types."""
    adapted = adapt(words)
    assert adapt(adapted.command).command == adapted.command
