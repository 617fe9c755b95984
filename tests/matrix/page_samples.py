"""Matrices that tests of the page show."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from onpanic.matrix.model.matrix import (
    Build,
    Matrix,
    MatrixFact,
    MatrixMachine,
    MatrixNotifier,
    Profile,
    Range,
    Statement,
)

HOSTILE = "</script><img src=x onerror=window.hit=1><!--\u2028'\"${window.hit=1}&amp;{{1}}"

FACTS = [
    MatrixFact("pvpanic-type", "emulator", "Is there a type pvpanic, the ISA device?"),
    MatrixFact("guest-panicked-event", "emulator", "Does the emulator have the event GUEST_PANICKED?"),
    MatrixFact("set-action-command", "emulator", "Can it be set at run time what a panic does?"),
    MatrixFact("builtin-pvpanic", "machine", "Is a pvpanic there although none was asked for?"),
    MatrixFact("panic-reported", "notifier", "Does a panic raise GUEST_PANICKED?"),
    MatrixFact("cont-after-panic", "notifier", "Does cont continue a panicked guest?"),
]
_ACTIVE = ("restart", "destroy", "preserve", "rename-restart", "pause")
_ANSWERS: Mapping[str, Any] = {"y": "yes", "n": "no", "?": "unknown"}
_ABOUT_NOTIFIERS = ("panic-reported", "cont-after-panic")


class Sample:
    """A matrix that tests add builds to."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.profiles: list[Profile] = []
        self.notifiers: list[MatrixNotifier] = []
        self.evidence: list[list[str]] = []
        self.builds: list[Build] = []
        self.ranges: list[Range] = []

    def statements_of(self, emulator: bool, letters: str, how: Any) -> dict[str, int]:
        """Add statements, given a letter for each fact of the emulator or not; return their indexes."""
        names = [fact.name for fact in FACTS if (fact.scope == "emulator") == emulator]
        indexes = {}
        for name, letter in zip(names, letters, strict=True):
            known = letter != "?"
            if known:
                self.evidence.append(_excerpt(name, letter))
            statement = Statement(
                _ANSWERS[letter],
                how if known else None,
                f"{name}: seen" if known else "not asked",
                len(self.evidence) - 1 if known else None,
            )
            self.statements.append(statement)
            indexes[name] = len(self.statements) - 1
        return indexes

    def profile(self, letters: str, how: Any = "observed", problem: str = "", *, pci: str = "") -> int:
        """Add a profile, given letters for the facts of a machine type, none if it does not start.

        :param pci: Letters for the PCI device; empty if there is only the ISA device.
        """
        facts = self.statements_of(False, letters, how) if letters else {}
        notifiers = []
        for model, about in (("isa", letters), ("pvpanic", letters[:1] + pci)):
            if about and len(about) == len(letters):
                own = facts if model == "isa" else self.statements_of(False, about, how)
                accepted, refused = _decision(about)
                notifier = MatrixNotifier(
                    model,  # type: ignore[arg-type]
                    {name: own[name] for name in _ABOUT_NOTIFIERS},
                    accepted,
                    refused,
                    "pvpanic" if model == "isa" else "pvpanic-pci",
                    1 if model == "isa" else 3,
                )
                self.notifiers.append(notifier)
                notifiers.append(len(self.notifiers) - 1)
        accepted, refused = _decision(letters)
        profile = Profile(
            facts=facts,
            accepted=accepted,
            refused=refused,
            notifier="isa" if letters else None,
            notifiers=notifiers,
            started=bool(letters),
            problem=problem,
        )
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def build(
        self,
        version: str,
        machines: Sequence[MatrixMachine],
        letters: str = "yyn",
        *,
        target: str = "x86_64",
        line: str = "upstream",
        package: str = "",
        how: Any = "observed",
        name: str = "",
    ) -> None:
        """Add a build, given letters for pvpanic-type, guest-panicked-event and set-action-command."""
        emulator = f"qemu-system-{target}"
        self.builds.append(
            Build(
                id=name or f"{emulator}-{version}",
                emulator=emulator,
                target=target,
                version=version,
                package=package,
                line=line,
                era=f"{version.partition('.')[0]}.x",
                source=f"recording qemu-{version}.jsonl",
                reproduce=f"onpanic probe --machine {{machine}} --recording qemu-{version}.jsonl",
                at="2026-11-24T10:00:00Z",
                by="onpanic 0.1.0",
                facts=self.statements_of(True, letters, how),
                machines=list(machines),
            )
        )

    def matrix(self) -> Matrix:
        """Return the matrix."""
        return Matrix(
            facts=FACTS,
            builds=self.builds,
            ranges=self.ranges,
            profiles=self.profiles,
            notifiers=self.notifiers,
            statements=self.statements,
            evidence=self.evidence,
        )


def _decision(letters: str) -> tuple[dict[str, bool], dict[str, str]]:
    """Return accepted and refused values, given letters for the facts of a machine type."""
    works = letters == "nyy"
    accepted = {"default": False, "ignore": False, **(dict.fromkeys(_ACTIVE, True) if works else {})}
    refused = {"crash": "crash-needs-xen"}
    if not works:
        code = "builtin-panic-device" if letters[:1] == "y" else "cont-refused-after-panic"
        unknown = not letters or "?" in letters
        refused |= dict.fromkeys(_ACTIVE, "probe-inconclusive" if unknown else code)
    return accepted, refused


def _excerpt(name: str, letter: str) -> list[str]:
    answer = '<- {"return": {}}' if letter == "y" else '<- {"error": {"class": "GenericError"}}'
    return [
        f"$ qemu-system -machine {{machine}} -qmp stdio # {name}",
        '-> {"execute": "cont"}',
        answer,
        "= quit",
    ]


def sample() -> Matrix:
    """Return a matrix of a dozen builds, as they exist."""
    one = Sample()
    broken, fixed, works = one.profile("yyn", "recorded"), one.profile("nyn", "recorded"), one.profile("nyy")
    unknown, missing = one.profile("n??"), one.profile("", problem="no Xen here")
    rhel = one.profile("nyn", "recorded")
    architectural = one.profile("nyy", "documented")
    both = one.profile("nyn", pci="yy")
    one.build(
        "0.12.1",
        [MatrixMachine("rhel6.6.0", rhel, ["pc"], True)],
        "y?n",
        line="RHEL",
        package="qemu-kvm-0.12.1.2",
    )
    for version, profile in (("1.5.3", broken), ("1.6.0", fixed), ("1.7.0", works)):
        older = [MatrixMachine("pc-i440fx-1.5", broken)] if version == "1.6.0" else []
        newest = MatrixMachine(f"pc-i440fx-{version[:3]}", profile, ["pc"], True)
        one.build(version, [MatrixMachine("none", unknown), *older, newest], how="recorded")
    for version in ("5.2.0", "7.2.9", "7.2.22", "10.0.2", "11.1.0"):
        series = ".".join(version.split(".")[:2])
        machines = [MatrixMachine("none", unknown), MatrixMachine(f"pc-i440fx-{series}", works, ["pc"], True)]
        q35 = both if version == "11.1.0" else works
        machines += [MatrixMachine(f"pc-q35-{series}", q35, ["q35"]), MatrixMachine("xenfv", missing)]
        package = f"Debian 1:{version}+dfsg-1"
        one.build(version, machines, "yyn" if version == "5.2.0" else "yyy", line="Debian", package=package)
    for target, version, machine, profile in (
        ("aarch64", "7.2.22", "virt", works),
        ("aarch64", "11.1.0", "virt", works),
        ("s390x", "10.0.2", "s390-ccw-virtio-10.0", architectural),
    ):
        is_s390 = target == "s390x"
        machines = [MatrixMachine("none", unknown), MatrixMachine(machine, profile, [], is_s390)]
        one.build(
            version, machines, "nyy", target=target, line="Debian", package=f"Debian 1:{version}+dfsg-1"
        )
    one.builds.sort(
        key=lambda build: (build.target, build.emulator, build.line)
    )  # a stable sort: versions keep their order
    emulator, line = "qemu-system-x86_64", "upstream"
    one.ranges += [
        *(
            Range(f"on_panic.{value}", emulator, *which, machine="default")
            for value in _ACTIVE
            for which in (
                ("Debian", "yes", "5.2.0", "11.1.0", "at or before 5.2"),
                (line, "no", "1.5.3", "1.6.0", "at or before 1.5, until 1.6"),
                (line, "yes", "1.7.0", "1.7.0", "since 1.7"),
            )
        ),
        Range(
            "cont-after-panic", emulator, "Debian", "yes", "5.2.0", "11.1.0", "at or before 5.2", "default"
        ),
        Range("cont-after-panic", emulator, "RHEL", "no", "0.12.1", "0.12.1", "never, up to 0.12", "default"),
        Range(
            "cont-after-panic",
            emulator,
            line,
            "no",
            "1.5.3",
            "1.6.0",
            "at or before 1.5, until 1.6",
            "default",
        ),
        Range(
            "cont-after-panic", emulator, line, "yes", "1.7.0", "1.7.0", "since 1.7", "default", exact=True
        ),
        Range(
            "set-action-command", emulator, "Debian", "yes", "7.2.9", "11.1.0", "after 5.2, at or before 7.2"
        ),
    ]
    return one.matrix()


def large(builds: int = 300, machines: int = 100) -> Matrix:
    """Return a matrix of many builds with many machine types; neighbours have different answers."""
    one = Sample()
    profiles = [one.profile(letters) for letters in ("nyy", "nyn", "yyn", "nn?")]
    for number in range(builds):
        names = [f"pc-i440fx-{index // 10}.{index % 10}" for index in range(machines)]
        made = [
            MatrixMachine(name, profiles[(number * 7 + index * 3) % 4], default=index == machines - 1)
            for index, name in enumerate(names)
        ]
        version = f"{number // 30}.{number % 30}.0"
        one.build(version, made, "yyy" if number % 2 else "yyn", name=f"build-{number}")
    return one.matrix()


def hostile() -> Matrix:
    """Return a matrix in which every text of an emulator is hostile."""
    one = Sample()
    one.evidence.append([f"<- {HOSTILE}"])
    profile = one.profile("nyy", problem=HOSTILE)
    one.build(
        "1.0", [MatrixMachine(HOSTILE, profile, [HOSTILE], True)], name=HOSTILE, package=HOSTILE, line=HOSTILE
    )
    made = one.matrix()
    statements = [msgspec.structs.replace(s, detail=HOSTILE, evidence=0) for s in made.statements]
    return msgspec.structs.replace(made, statements=statements)
