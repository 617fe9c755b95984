"""Ratios, measured side by side in one run: `make bench`.

Runs of all candidates are interleaved, so that a machine that slows down slows down
all of them; the medians' ratio is what is printed, with the aim beside it.
"""

import asyncio
import compileall
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bench_ansible
import bench_asking
import bench_fleet
import bench_matrix
import bench_watch
import bench_why
from bare import start
from bench_rows import show

from onpanic.probe import probe
from onpanic.probe.host import host_emulator

ROUNDS = 15
NOBODY = 65534
# As libvirt 9 prints a domain of today
DOMAIN = """\
<domain type='kvm'>
  <name>guest</name>
  <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
  <memory unit='KiB'>4194304</memory>
  <currentMemory unit='KiB'>4194304</currentMemory>
  <vcpu placement='static'>4</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <boot dev='hd'/>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <cpu mode='host-model' check='partial'/>
  <clock offset='utc'>
    <timer name='rtc' tickpolicy='catchup'/>
    <timer name='pit' tickpolicy='delay'/>
    <timer name='hpet' present='no'/>
  </clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_panic coredump='yes'>restart</on_panic>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
{devices}    <memballoon model='virtio'>
      <stats period='5'/>
    </memballoon>
  </devices>
</domain>
"""
DISK = """\
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='/var/lib/libvirt/images/guest-{number}.qcow2' index='{number}'/>
      <backingStore/>
      <target dev='sd{number}' bus='scsi'/>
      <iotune>
        <total_iops_sec>1000</total_iops_sec>
      </iotune>
      <alias name='scsi0-0-0-{number}'/>
      <address type='drive' controller='0' bus='0' target='0' unit='{number}'/>
    </disk>
"""


def floor(emulator: str) -> None:
    asyncio.run(start([emulator], "", "qom-list-types"))


def bare(emulator: str, machines: Sequence[str]) -> None:
    for machine in machines:
        asyncio.run(start([emulator], machine))


def run(words: Sequence[str]) -> None:
    """Run a program.  Its output is a pipe: to wait for a process with a deadline, Python polls."""
    subprocess.run(words, check=True, stdout=subprocess.PIPE, timeout=120)


def command(*words: str) -> None:
    """Run the command as a user does."""
    run([sys.executable, "-m", "onpanic", *words])


def interpreter() -> None:
    run([sys.executable, "-c", "pass"])


def medians(rounds: int, **candidates: Callable[[], object]) -> dict[str, float]:
    """Run candidates in turn and return each one's median seconds."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for round_ in range(rounds + 1):
        for name, candidate in candidates.items():
            begin = time.perf_counter()
            candidate()
            if round_:  # the first round warms the caches
                taken[name].append(time.perf_counter() - begin)
    return {name: statistics.median(times) for name, times in taken.items()}


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def verdicts(emulator: str) -> None:
    took = medians(
        ROUNDS,
        floor=lambda: floor(emulator),
        verdict=lambda: probe(emulator, notifier="isa"),
        every=lambda: probe(emulator),
        introspected=lambda: probe(emulator, introspect_only=True),
        command=lambda: command("probe", "-q", "--notifier", "isa", emulator),
        command_every=lambda: command("probe", "-q", emulator),
    )
    base, one = took["floor"], took["verdict"]
    show("verdict / floor", one / base, "<= 1.5", f"{ms(one)} / {ms(base)}, the ISA notifier alone")
    show("command / floor", took["command"] / base, "<= 1.6", f"{ms(took['command'])} / {ms(base)}")
    detail = f"{ms(took['every'])} / {ms(one)}, {os.cpu_count()} CPUs"
    show("all notifiers / isa", took["every"] / one, "<= 1.6", detail)
    detail = f"{ms(took['command_every'])} / {ms(took['command'])}"
    show("the command, all / isa", took["command_every"] / took["command"], "<= 1.6", detail)
    detail = f"{ms(took['introspected'])} / {ms(took['every'])}"
    show("introspect-only / full", took["introspected"] / took["every"], "<= 1", detail)


def small_commands(emulator: str) -> None:
    """Commands that start no emulator, against the interpreter's bare start."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        record.write_bytes(probe(emulator).to_json())
        took = medians(
            ROUNDS,
            bare=interpreter,
            version=lambda: command("--version"),
            explain=lambda: command("explain", "probe-inconclusive"),
            accept=lambda: command("accept", "restart", "--record", str(record)),
        )
    for name in ("version", "explain", "accept"):
        detail = f"{ms(took[name])} / {ms(took['bare'])}"
        show(f"{name} / bare interpreter", took[name] / took["bare"], "<= 1.5", detail)


def all_machines(emulator: str) -> None:
    names = [m.name for m in probe(emulator, all_machines=True, introspect_only=True).machines if m.started]
    took = medians(
        3,
        bare=lambda: bare(emulator, names),
        one=lambda: probe(emulator, all_machines=True, notifier="isa", jobs=1),
        all=lambda: probe(emulator, all_machines=True, notifier="isa"),
        every=lambda: probe(emulator, all_machines=True, jobs=1),
    )
    per = {name: seconds / len(names) for name, seconds in took.items()}
    detail = f"{ms(per['one'])} / {ms(per['bare'])} for each of {len(names)} machine types, the ISA notifier"
    show("all machines, one core", took["one"] / took["bare"], "<= 1.3", detail)
    detail = f"{ms(per['every'])} / {ms(per['bare'])} for each machine type, all notifiers"
    show("the same, all notifiers", took["every"] / took["bare"], "-", detail)
    detail = f"{took['all']:.2f} s / {took['one']:.2f} s, {os.cpu_count()} CPUs"
    show("all cores / one core", took["all"] / took["one"], "< 1", detail)


def checks(emulator: str) -> None:
    """The commands, as a build's CI runs them."""

    def all_machines(name: str) -> None:
        command(name, "--all-machines", "-q", emulator)

    took = medians(3, probe=lambda: all_machines("probe"), check=lambda: all_machines("check"))
    detail = f"{took['check']:.2f} s / {took['probe']:.2f} s, verified on every machine type"
    show("check / probe", took["check"] / took["probe"], "<= 1.3", detail)


def acpi(emulator: str) -> None:
    took = medians(5, plain=lambda: probe(emulator), acpi=lambda: probe(emulator, acpi=True))
    show(
        "with --acpi / without",
        took["acpi"] / took["plain"],
        "-",
        f"{ms(took['acpi'])} / {ms(took['plain'])}",
    )


def translations(emulator: str) -> None:
    """A domain of 10 KB, as virsh dumpxml prints it, and a thousand of them."""
    from lxml import etree

    from onpanic.shims import to_libvirt

    record = probe(emulator)
    document = DOMAIN.format(devices="".join(DISK.format(number=n) for n in range(19))).encode()
    took = medians(
        ROUNDS,
        plain=lambda: [etree.tostring(etree.fromstring(document)) for _ in range(100)],
        ours=lambda: [to_libvirt(document, record, libvirt="9.0.0") for _ in range(100)],
    )
    detail = (
        f"{took['ours'] * 10000:.0f} us / {took['plain'] * 10000:.0f} us for {len(document) / 1000:.1f} KB"
    )
    show("to_libvirt / plain", took["ours"] / took["plain"], "<= 1.5", detail)
    many = [document.replace(b"guest", f"guest{n}".encode()) for n in range(1000)]
    took = medians(
        5,
        plain=lambda: [etree.tostring(etree.fromstring(one)) for one in many],
        ours=lambda: [to_libvirt(one, record, libvirt="9.0.0") for one in many],
    )
    show(
        "1,000 domains / plain",
        took["ours"] / took["plain"],
        "<= 1.5",
        f"{ms(took['ours'])} / {ms(took['plain'])}",
    )


def libvirt(emulator: str) -> None:
    if not shutil.which("virsh"):
        print("libvirt: not compared, there is no virsh")
        return

    def capabilities() -> None:
        with tempfile.TemporaryDirectory(prefix="onpanic-", dir="/tmp") as folder:  # socket paths are short
            who: dict[str, Any] = {}
            if os.geteuid() == 0:  # libvirt starts no QEMU as root
                os.chown(folder, NOBODY, -1)
                who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            homes = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
            uri = f"qemu:///embed?root={folder}"
            subprocess.run(
                ["virsh", "-q", "-c", uri, "domcapabilities", "--emulatorbin", emulator],
                check=True,
                stdout=subprocess.DEVNULL,
                timeout=120,
                env={**os.environ, **dict.fromkeys(homes, folder)},
                **who,
            )

    took = medians(3, libvirt=capabilities, probe=lambda: probe(emulator))
    detail = f"{took['libvirt']:.1f} s / {ms(took['probe'])}; libvirt collects much more than onpanic does"
    show("virsh, cold / verdict", took["libvirt"] / took["probe"], ">= 20", detail)


def asking() -> None:
    first, later = bench_asking.asking()
    show("asking libvirt / 1 ms", later * 1000, "<= 20", f"once a connection; {first:.1f} s at its start")


def main() -> None:
    for root in ("probe", "shims", "why", "compat-matrix", "fleet", "cli"):  # as in an installed package
        compileall.compile_dir(Path(__file__).parent.parent / root, quiet=2)
    emulator = host_emulator()
    version = subprocess.check_output([emulator, "--version"], text=True, timeout=60).splitlines()[0]
    print(f"{emulator}: {version}; {os.cpu_count()} CPUs; medians of interleaved runs")
    for benchmark in (verdicts, small_commands, all_machines, checks, acpi, translations, libvirt):
        benchmark(emulator)
    asking()
    bench_matrix.collecting(show)
    bench_matrix.building()
    bench_fleet.verdicts()
    bench_ansible.fleet(show)
    bench_watch.reactions(emulator, show)
    bench_why.last_words(emulator, show)
    bench_why.through_libvirt(show)


if __name__ == "__main__":
    main()
