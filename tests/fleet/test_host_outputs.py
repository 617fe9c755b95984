"""The record of a host as a screen, as labels of a Kubernetes node and as metrics."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.fleet import HostRecord
from onpanic.fleet.hosts.host_record import HostEmulator
from onpanic.fleet.outputs.host_metrics import HOST_METRICS, host_metrics
from onpanic.fleet.outputs.host_screen import host_screen
from onpanic.fleet.outputs.nfd_features import LIMIT, NAMESPACE, feature_file, is_namespace
from onpanic.probe.decision.policy import ON_PANIC
from onpanic.probe.record.screen import Style
from onpanic.watch.reporting.metric_values import METRICS

from .fleets import emulator, host

EXPIRES = datetime(2026, 11, 28, 13, tzinfo=timezone(timedelta(hours=1)))
#: What Kubernetes accepts as a label, as far as NFD's files can have it.
LABEL = re.compile(r"([a-z0-9.-]+)/([A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)=true")

BROKEN = HostEmulator(
    path="/usr/bin/qemu-system-i386",
    found_in=["path"],
    runs=["i686"],
    domain_types=[],
    machine_types=[],
    aliases={},
    record=None,
    problem="it does not start",
)


def with_names(names: Sequence[str], libvirt: str | None = None) -> HostRecord:
    """Return a host whose emulator has machine types with these names."""
    known = emulator("7.2.22")
    assert known.record
    (first, *_) = known.record.machines
    machines = [msgspec.structs.replace(first, name=name, aliases=[], default=False) for name in names]
    found = msgspec.structs.replace(known.record, machines=machines)
    return host(
        libvirt=libvirt,
        emulators=[msgspec.structs.replace(known, record=found, machine_types=list(names), aliases={})],
    )


def labels(text: str) -> list[str]:
    """Return the names of the labels in a feature file; each line is one that NFD and Kubernetes accept.

    All are in NFD's own namespace.
    """
    first, *lines = text.splitlines()
    assert first == "# +expiry-time=2026-11-28T12:00:00Z"
    matches = [LABEL.fullmatch(line) for line in lines]
    assert all(matches), [line for line, match in zip(lines, matches, strict=True) if not match]
    assert {match[1] for match in matches if match} <= {NAMESPACE}
    found = [match[2] for match in matches if match]
    assert len(set(found)) == len(found)
    return found


# The screen


def test_a_screen_answers() -> None:
    """Which policies each machine type keeps, for the libvirt that is there, and what is not known."""
    known = msgspec.structs.replace(emulator("7.2.22"), other_paths=["/usr/bin/kvm"])
    found = host(emulators=[known, BROKEN])
    text = host_screen(found, Style())
    assert "kvm1: Debian GNU/Linux 12 (bookworm), Linux 6.1.0-31-amd64, x86_64\n" in text
    assert "  libvirt  9.0.0 at qemu:///system; asked: lacks <panic model='pvpanic'>" in text
    assert "/usr/bin/qemu-system-x86_64 (also /usr/bin/kvm): QEMU 7.2.22" in text
    assert "  pc-i440fx-7.2 (pc, default), pc-q35-7.2 (q35): notifier isa, events 0x3\n" in text
    kept = "default ignore; restart destroy preserve* rename-restart* pause*, also with coredump='yes'\n"
    assert f"    kept     {kept}" in text
    assert "\n* needs onpanic watch" in text
    assert "crash-needs-xen" in text
    assert "/usr/bin/qemu-system-i386: not asked\n" in text
    assert "\ncould not be determined\n  /usr/bin/qemu-system-i386: it does not start\n" in text
    assert text.endswith("\n\ncollected in 0.90 s by onpanic 0.1.0 at 2026-11-27T11:00:00Z\n")


def test_a_screen_of_a_host_without_emulators() -> None:
    found = host(libvirt=None, emulators=[])
    text = host_screen(found, Style())
    assert "no emulator" in text
    assert "*" not in text
    assert "  libvirt  none; QEMU alone decides\n" in text
    unknown = msgspec.structs.replace(found, libvirt_found="unknown")
    assert "  libvirt  could not be asked\n" in host_screen(unknown, Style())


@given(st.text(), st.sampled_from([None, "9.0.0"]))
def test_a_screen_prints_nothing_that_a_terminal_interprets(name: str, libvirt: str | None) -> None:
    text = host_screen(msgspec.structs.replace(with_names([name], libvirt), problems=[name]), Style())
    assert all(line.isprintable() for line in text.split("\n"))


# node-feature-discovery


def test_a_label_for_each_policy_that_is_kept() -> None:
    """By the alias and by the machine type's own name; a policy that is refused has none."""
    found = labels(feature_file(host(machines=["q35"]), EXPIRES).text)
    assert {"onpanic-x86_64.q35.restart", "onpanic-x86_64.pc-q35-7.2.coredump-restart"} <= set(found)
    assert not [name for name in found if name.endswith((".crash", ".default", ".coredump-ignore"))]
    old = labels(feature_file(host(qemu="1.5.3", machines=["pc"]), EXPIRES).text)
    assert "onpanic-x86_64.pc.pause" not in old


def test_a_namespace_of_the_users() -> None:
    text = feature_file(host(), EXPIRES, "kvm.example.com").text
    lines = text.splitlines()[1:]
    assert lines
    assert all(line.startswith("kvm.example.com/onpanic-") for line in lines)


@pytest.mark.parametrize("name", ["kvm.example.com", "vendor.profile.node.kubernetes.io", "a.b"])
def test_a_namespace_in_which_nfd_makes_labels(name: str) -> None:
    assert is_namespace(name)


@pytest.mark.parametrize(
    "name", ["", "kubernetes.io", "node.kubernetes.io", "k8s.io", "Example.com", "a/b", "a..b", "-a.b", "a"]
)
def test_a_namespace_in_which_nfd_makes_none(name: str) -> None:
    assert not is_namespace(name)


def test_a_feature_file_is_short_enough_and_what_it_lacks_is_named() -> None:
    """Machine types of which there is no room for all labels have none; those with an alias come first."""
    found = with_names([f"pc-i440fx-{n}" for n in range(500)])
    first = found.emulators[0]
    assert first.record
    last = msgspec.structs.replace(first.record.machines[-1], name="pc-i440fx-9", aliases=["pc"])
    full = msgspec.structs.replace(first.record, machines=[*first.record.machines, last])
    found = msgspec.structs.replace(found, emulators=[msgspec.structs.replace(first, record=full)])
    made = feature_file(found, EXPIRES)
    assert LIMIT - 2000 < len(made.text) < LIMIT
    names = labels(made.text)
    assert names[0].startswith("onpanic-x86_64.pc.")
    kept = {name.rpartition(".")[0].removeprefix("onpanic-x86_64.") for name in names}
    (line,) = made.left_out
    left_out = line.split()
    assert line.startswith(f"{501 - len(kept)} machine types of x86_64, no room in 64 KiB: ")
    assert left_out[-1] == "pc-i440fx-499"


def test_the_hosts_own_architecture_comes_first_in_a_feature_file() -> None:
    emulators = [emulator("7.2.22", target) for target in ("i386", "x86_64")]
    names = labels(feature_file(host(emulators=emulators), EXPIRES).text)
    assert names[0].startswith("onpanic-x86_64.")
    assert names[-1].startswith("onpanic-i686.")


@given(st.lists(st.text(max_size=70), max_size=4, unique=True))
def test_every_line_of_a_feature_file_is_a_label(names: list[str]) -> None:
    """Whatever machine types are called; one that cannot be in a label is named instead."""
    made = feature_file(with_names(names), EXPIRES)
    kept = {name.removeprefix("onpanic-x86_64.").rpartition(".")[0] for name in labels(made.text)}
    assert kept <= set(names)
    assert bool(made.left_out) == (len(kept) < len(names))


# Prometheus


def test_a_gauge_for_each_policy() -> None:
    """1 if it is kept and 0 if not, and nothing if that is unknown."""
    text = host_metrics(host(machines=["pc"], emulators=[emulator("7.2.22", machines=["pc"]), BROKEN]))
    about = 'emulator="/usr/bin/qemu-system-x86_64",architecture="x86_64",machine="pc-i440fx-7.2",alias="pc"'
    assert f'onpanic_host_policy{{{about},policy="restart",coredump="yes"}} 1\n' in text
    assert f'onpanic_host_policy{{{about},policy="crash",coredump="no"}} 0\n' in text
    assert text.count("\nonpanic_host_policy{") == 2 * len(ON_PANIC)
    assert f'onpanic_host_event_mask{{{about},notifier="isa"}} 3\n' in text
    assert "\nonpanic_host_timestamp_seconds 1795777200\n" in text
    assert "onpanic_host_success 0\n" in text
    assert 'onpanic_host_emulator_success{emulator="/usr/bin/qemu-system-i386"} 0\n' in text
    assert 'onpanic_host_libvirt_info{version="9.0.0",known_by="asked"} 1\n' in text
    assert text.endswith("\n")


def test_what_is_unknown_has_no_gauge() -> None:
    known = emulator("7.2.22", machines=["pc"])
    assert known.record
    machine = msgspec.structs.replace(
        known.record.machines[0],
        facts={
            name: msgspec.structs.replace(fact, answer="unknown")
            for name, fact in known.record.machines[0].facts.items()
        },
    )
    unclear = msgspec.structs.replace(known.record, machines=[machine])
    found = host(libvirt=None, emulators=[msgspec.structs.replace(known, record=unclear)])
    assert 'policy="restart"' not in host_metrics(found)


def test_metrics_do_not_have_the_names_of_the_watchers() -> None:
    """Both write files for the same node_exporter, in which a name has one type and one help text."""
    assert {metric.name for metric in HOST_METRICS}.isdisjoint(metric.name for metric in METRICS)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4, unique=True))
def test_metrics_can_be_read(names: list[str]) -> None:
    """Whatever machine types are called: each sample has one line, and no set of labels comes twice."""
    parser = pytest.importorskip("prometheus_client.parser")
    text = host_metrics(with_names(names))
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    assert families.keys() <= {metric.name for metric in HOST_METRICS}
    for family in families.values():
        assert family.documentation
        assert family.type == "gauge"
        keys = [tuple(sorted(sample.labels.items())) for sample in family.samples]
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("broken_first", [True, False])
def test_two_emulators_that_are_printed_alike_have_one_gauge(broken_first: bool) -> None:
    """What one of them lacks is not hidden by the other."""
    two = [msgspec.structs.replace(BROKEN, path="/usr/bin/qemu-system-\x01")]
    two.append(msgspec.structs.replace(emulator("7.2.22"), path="/usr/bin/qemu-system-\x02"))
    text = host_metrics(host(emulators=two if broken_first else two[::-1]))
    assert text.count("\nonpanic_host_emulator_success{") == 1
    assert 'onpanic_host_emulator_success{emulator="/usr/bin/qemu-system-"} 0\n' in text


def test_an_emulator_that_runs_no_guests_has_no_architecture() -> None:
    """Its policies do not count where hosts are compared, and it has no labels."""
    own = emulator("7.2.22", machines=["pc"])
    found = host(emulators=[msgspec.structs.replace(own, runs=[])])
    assert "architecture=" not in host_metrics(found)
    assert 'policy="restart",coredump="no"} 1\n' in host_metrics(found)
    assert labels(feature_file(found, EXPIRES).text) == []


def test_an_emulator_that_runs_two_architectures_answers_for_both() -> None:
    own = emulator("10.0", "ppc64", ["pseries"])
    found = host(emulators=[msgspec.structs.replace(own, runs=["ppc64", "ppc64le"])])
    names = labels(feature_file(found, EXPIRES).text)
    assert {"onpanic-ppc64.pseries.restart", "onpanic-ppc64le.pseries.restart"} <= set(names)
    assert host_metrics(found).count('policy="restart",coredump="no"} 1\n') == 2
