"""What a host can do as metrics, in Prometheus' text format, for node_exporter's textfile collector."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from onpanic.core.untrusted import printable, wellformed
from onpanic.fleet.hosts.host_record import HostRecord
from onpanic.fleet.outputs.policy_answers import MachineAnswers, machine_answers

__all__ = ("HOST_METRICS", "HostMetric", "host_metrics")

#: The labels of one sample, and its value.
Sample = tuple[Mapping[str, str], float]


class HostMetric(msgspec.Struct, frozen=True):
    """A metric; all are gauges.

    :param name: Its name.
    :param text: What it says.
    """

    name: str
    text: str


SUCCESS = HostMetric("onpanic_host_success", "1 if all that was asked about the host is known")
ASKED = HostMetric("onpanic_host_timestamp_seconds", "When the host was asked")
DURATION = HostMetric("onpanic_host_duration_seconds", "How long it took to ask the host")
KVM = HostMetric("onpanic_host_kvm", "1 if KVM is usable, and if it has the feature hyperv")
LIBVIRT = HostMetric("onpanic_host_libvirt_info", "The host's libvirt")
ACCEPTS = HostMetric("onpanic_host_libvirt_feature", "1 if the host's libvirt has a feature")
XEN = HostMetric("onpanic_host_xen_info", "The Xen of which the host is the dom0")
EMULATOR_SUCCESS = HostMetric("onpanic_host_emulator_success", "1 if all that an emulator was asked is known")
EMULATOR = HostMetric("onpanic_host_emulator_info", "The host's emulators, or its Xen")
POLICY = HostMetric("onpanic_host_policy", "1 if the host keeps an <on_panic> policy, 0 if it does not")
EVENTS = HostMetric("onpanic_host_event_mask", "The events that a panic notifier offers to the guest")

#: All metrics, in the order in which they are written.
HOST_METRICS = (
    *(SUCCESS, ASKED, DURATION, KVM, LIBVIRT, XEN, ACCEPTS),
    *(EMULATOR_SUCCESS, EMULATOR, POLICY, EVENTS),
)

_FEATURES = ("device", "models", "pci", "preserve_running", "vmcoreinfo")


def host_metrics(host: HostRecord) -> str:
    """Return a host's metrics.  What is unknown has no sample.

    :raise MissingExtraError: See `machine_answers`.
    """
    answers = list(machine_answers(host))
    samples: dict[HostMetric, Iterable[Sample]] = {
        SUCCESS: [({}, not host.every_problem())],
        ASKED: _asked(host.collected.at),
        DURATION: [({}, host.collected.seconds)],
        KVM: _kvm(host),
        LIBVIRT: _libvirt(host),
        XEN: _xen(host),
        ACCEPTS: _features(host),
        EMULATOR_SUCCESS: (
            ({"emulator": one.path}, one.record is not None and not one.record.problems)
            for one in host.every_emulator()
        ),
        EMULATOR: _emulators(host),
        POLICY: _policies(answers),
        EVENTS: _events(answers),
    }
    return "".join(line for metric in HOST_METRICS for line in _lines(metric, samples[metric]))


def _asked(stamp: str) -> Iterator[Sample]:
    try:
        yield {}, datetime.fromisoformat(stamp).timestamp()
    except ValueError:  # the record is not ours
        return


def _kvm(host: HostRecord) -> Iterator[Sample]:
    for feature, answer in (("usable", host.kvm.usable), ("hyperv", host.kvm.hyperv)):
        if answer != "unknown":
            yield {"feature": feature}, answer == "yes"


def _libvirt(host: HostRecord) -> Iterator[Sample]:
    if host.libvirt:
        yield {"version": host.libvirt.version, "known_by": host.libvirt.known_by}, 1


def _xen(host: HostRecord) -> Iterator[Sample]:
    if host.xen and host.xen.record:
        build = host.xen.record.emulator
        yield {"version": build.version, "toolstack": build.toolstack}, 1


def _features(host: HostRecord) -> Iterator[Sample]:
    for feature in _FEATURES if host.libvirt and host.xen is None else ():  # they are those of QEMU's driver
        yield {"feature": feature}, getattr(host.libvirt, feature)


def _emulators(host: HostRecord) -> Iterator[Sample]:
    for one in host.every_emulator():
        if one.record is not None:
            build = one.record.emulator
            yield (
                {
                    "emulator": one.path,
                    "target": build.target,
                    "version": build.version,
                    "package": build.package,
                },
                1,
            )


def _about(one: MachineAnswers) -> dict[str, str]:
    return {
        "emulator": one.emulator.path,
        "architecture": one.architecture,
        "machine": one.machine.name,
        "alias": next(iter(one.machine.aliases), ""),
    }


def _policies(answers: Iterable[MachineAnswers]) -> Iterator[Sample]:
    for one in answers:
        for policy in one.policies:
            if policy.kept != "unknown":
                labels = {"policy": policy.value, "coredump": "yes" if policy.coredump else "no"}
                yield _about(one) | labels | {"on_crash": policy.action}, policy.kept == "yes"


def _events(answers: Iterable[MachineAnswers]) -> Iterator[Sample]:
    for one in answers:
        for notifier in one.machine.notifiers:
            if notifier.event_mask is not None:
                yield _about(one) | {"notifier": notifier.model}, notifier.event_mask


def _lines(metric: HostMetric, samples: Iterable[Sample]) -> Iterator[str]:
    """Yield the lines of a metric; none if it has no sample.

    There is one for each set of labels, as it is printed: of several values the least one, so that what one
    emulator lacks is not hidden by another one.
    """
    values: dict[str, float] = {}
    for given, value in samples:
        labels = ",".join(f'{name}="{_escaped(text)}"' for name, text in given.items() if text)
        values[labels] = min(value, values.get(labels, value))
    if values:
        yield f"# HELP {metric.name} {metric.text}\n# TYPE {metric.name} gauge\n"
    for labels, value in values.items():
        yield (
            f"{metric.name}{{{labels}}} {_number(value)}\n" if labels else f"{metric.name} {_number(value)}\n"
        )


def _escaped(text: str) -> str:
    plain: str = wellformed(printable(text, 200))
    return plain.replace("\\", "\\\\").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
