"""The options of QEMU's command line: which take an argument, and which a probe leaves out.

The table has every option of ``-help`` from QEMU 0.12 to 11.1, for all targets, and of RHEL 6.
Options whose value decides are kept here, and judged by `onpanic.probe.emulator.option_rules`.
"""

from typing import NamedTuple

__all__ = (
    "ACCELERATOR",
    "AUDIO",
    "CODE",
    "CONNECTS",
    "DISK",
    "DISPLAY",
    "FILES",
    "HOST_DEVICE",
    "KVM",
    "MEMORY",
    "NETWORK",
    "OPTIONS",
    "PROCESS",
    "WRITES",
    "QemuOption",
)

ACCELERATOR = "the probe chooses the accelerator"
AUDIO = "connects to the host's sound server"
CODE = "loads guest code"
CONNECTS = "connects to another program"
DISK = "opens a disk image"
DISPLAY = "opens a display"
FILES = "opens a file"
HOST_DEVICE = "uses a device of the host"
KVM = "needs KVM"
MEMORY = "no answer depends on the guest's memory"
NETWORK = "connects to a network"
PROCESS = "changes how the process runs"
WRITES = "writes a file"
_CONSOLE = "opens a console or a monitor"
_DEBUGGER = "opens a debugger's socket"
_SHARE = "gives the guest files of the host"
_STATE = "loads a saved state, or waits for one"
_XEN = "attaches to a Xen domain"


class QemuOption(NamedTuple):
    """An option of QEMU.

    :param takes_argument: Whether the next word is its argument.
    :param why: Why a probe leaves it out; empty if it is kept, or if its value decides.
    """

    takes_argument: bool
    why: str = ""


def _options(names: str, why: str = "") -> dict[str, QemuOption]:
    """Return table rows.

    :param names: The options; ``=`` marks those that take an argument.
    :param why: Why they are left out.
    """
    return {name.rstrip("="): QemuOption(name.endswith("="), why) for name in names.split()}


#: Every option by its name, without dashes.
OPTIONS = {
    # Kept
    **_options("M= machine= cpu= smp= device= object= global= set= boot= rtc= icount="),
    **_options("action= no-reboot no-shutdown watchdog= watchdog-action="),
    **_options("nodefaults nodefconfig no-user-config nographic S L= name= uuid= smbios= fw_cfg= msg="),
    **_options("usb usbdevice= vga= audio= audiodev= overcommit= realtime= seed= k= g= echr= balloon="),
    **_options("no-acpi no-hpet no-fd-bootchk no-kvm-irqchip no-kvm-pit no-kvm-pit-reinjection old-param"),
    **_options("no-spurious-interrupt-hack no-virtio-balloon only-migratable prom-env= redhat-disable-KSM"),
    **_options("cpu-vendor= enable-fips enable-nesting enable-sync-profile fake-machine rtc-td-hack"),
    **_options("clock= localtime startdate= tdf singlestep tb-size= win2k-hack"),
    **_options("h help version audio-help"),
    # Left out
    **_options("accel= enable-kvm no-kvm enable-hax kvm-shadow-memory= enable-kqemu", ACCELERATOR),
    **_options("kernel-kqemu no-kqemu", ACCELERATOR),
    **_options("serial= parallel= monitor= qmp= qmp-pretty= mon= chardev= debugcon=", _CONSOLE),
    **_options("virtioconsole= vmchannel=", _CONSOLE),
    **_options("display= vnc= spice= sdl curses full-screen no-frame no-quit alt-grab ctrl-grab", DISPLAY),
    **_options("show-cursor portrait rotate=", DISPLAY),
    **_options("drive= blockdev= hda= hdb= hdc= hdd= cdrom= fda= fdb= sd= mtdblock= pflash= iscsi=", DISK),
    **_options("snapshot hdachs= nvram=", DISK),
    **_options("netdev= nic= net= redir= smb= tftp= bootp= bt=", NETWORK),
    **_options("fsdev= virtfs= virtfs_synth", _SHARE),
    **_options("tpmdev= pcidevice=", HOST_DEVICE),
    **_options("soundhw=", AUDIO),
    **_options("m= numa= mem-path= mempath= mem-prealloc", MEMORY),
    **_options("bios= kernel= shim= initrd= append= dtb= option-rom= semihosting semihosting-config=", CODE),
    **_options("acpitable= readconfig= add-fd= plugin=", FILES),
    **_options("D= d= dfilter= trace= writeconfig= dump-vmstate= perfmap jitdump pidfile=", WRITES),
    **_options("incoming= loadvm= preconfig", _STATE),
    **_options("gdb= s p= qtest= qtest-log=", _DEBUGGER),
    **_options("daemonize runas= run-with= chroot= sandbox= async-teardown", PROCESS),
    **_options("compat=", "may refuse QMP commands of the probe"),
    **_options("xen-domid= xen-attach xen-create xen-domid-restrict", _XEN),
}
