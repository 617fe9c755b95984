"""Both formats of recorded replies, written here as libvirt's tests have them, and invalid files."""

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onpanic.matrix.sources.libvirt_replies import conversations, record, replies_files
from onpanic.probe import CapabilityRecord, RecordingError
from onpanic.probe.facts import EMULATOR_QUESTIONS, MACHINE_QUESTIONS, NOTIFIER_QUESTIONS

VERSION = {"qemu": {"major": 1, "minor": 5, "micro": 3}, "package": ""}
PLAIN = ("container", "System", "irq", "vmcoreinfo")
COMMANDS = ("qmp_capabilities", "query-commands", "cont")
EVENTS = ("SHUTDOWN", "RESET", "STOP")
SCHEMA = (("query-version", "command"), ("SHUTDOWN", "event"))
MACHINES = [
    {"name": "pc-i440fx-1.5", "alias": "pc", "is-default": True, "cpu-max": 255},
    {"name": "none", "cpu-max": 1},
]

Pair = tuple[dict[str, Any], dict[str, Any]]


def listed(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


def refused(word: str = "CommandNotFound") -> dict[str, Any]:
    return {"error": {"class": word, "desc": f"a {word}"}}


def session(
    *,
    target: str = "x86_64",
    types: tuple[str, ...] = ("pvpanic",),
    events: tuple[str, ...] | None = ("GUEST_PANICKED",),
    commands: tuple[str, ...] | None = (),
    schema: tuple[tuple[str, str], ...] | None = None,
    machines: Any = MACHINES,
) -> list[Pair]:
    """Return what libvirt asks an emulator, with the replies."""
    return [
        ({"execute": "qmp_capabilities"}, {"return": {}}),
        ({"execute": "query-version"}, {"return": VERSION}),
        ({"execute": "query-target"}, {"return": {"arch": target}}),
        (
            {"execute": "query-commands"},
            refused() if commands is None else {"return": listed(*COMMANDS, *commands)},
        ),
        ({"execute": "block-commit", "arguments": {"device": "bogus"}}, refused("DeviceNotFound")),
        ({"execute": "query-events"}, refused() if events is None else {"return": listed(*EVENTS, *events)}),
        (
            {"execute": "query-qmp-schema"},
            refused()
            if schema is None
            else {"return": [{"name": n, "meta-type": m} for n, m in (*SCHEMA, *schema)]},
        ),
        ({"execute": "qom-list-types"}, {"return": listed(*PLAIN, *types)}),
        (
            {"execute": "device-list-properties", "arguments": {"typename": "virtio-blk-pci"}},
            {"return": [{"name": "scsi", "type": "bool"}]},
        ),
        ({"execute": "query-machines"}, {"return": machines}),
        ({"execute": "query-cpu-definitions"}, {"return": listed("qemu64", "pvpanic")}),
    ]


def with_answer(pairs: list[Pair], command: str, answer: dict[str, Any]) -> list[Pair]:
    """Return a session with another reply to a command."""
    return [(sent, answer if sent["execute"] == command else came) for sent, came in pairs]


def newer_objects(*passes: list[Pair]) -> list[dict[str, Any]]:
    """Return the newer format: each command before its reply; ids start again with each pass."""
    return [
        {**one, "id": f"libvirt-{number}"}
        for pairs in passes
        for number, pair in enumerate(pairs, 1)
        for one in pair
    ]


def older_objects(*passes: list[Pair]) -> list[dict[str, Any]]:
    """Return the format of 2013: a greeting, and replies only."""
    objects: list[dict[str, Any]] = []
    for pairs in passes:
        objects.append({"QMP": {"version": VERSION, "capabilities": []}})
        objects += [{**came, "id": f"libvirt-{number}"} for number, (_, came) in enumerate(pairs, 1)]
    return objects


def write_objects(path: Path, objects: list[dict[str, Any]], indent: int = 2) -> Path:
    path.write_text("\n\n".join(json.dumps(one, indent=indent) for one in objects) + "\n")
    return path


def newer(path: Path, *passes: list[Pair]) -> Path:
    return write_objects(path, newer_objects(*passes))


def older(path: Path, *passes: list[Pair]) -> Path:
    return write_objects(path, older_objects(*passes), 4)


def read(objects: list[dict[str, Any]]) -> CapabilityRecord:
    """Return the record of these objects; property tests need a new folder for each example."""
    with tempfile.TemporaryDirectory() as name:
        return record(write_objects(Path(name) / "x.replies", objects))


def answers(found: CapabilityRecord) -> dict[str, str]:
    return {name: found.facts[name].answer for name in EXPECTED}


def wrong(found: dict[str, str]) -> dict[str, str]:
    """Return the answers that contradict what is expected."""
    return {name: answer for name, answer in found.items() if answer not in (EXPECTED[name], "unknown")}


def complaint(path: Path) -> str:
    """Return why a file cannot be read; empty if it can be."""
    try:
        record(path).to_json()
    except RecordingError as error:
        return error.message
    return ""


EXPECTED = {
    "isa-pvpanic-type": "no",
    "pvpanic-type": "yes",
    "pvpanic-pci-type": "no",
    "guest-panicked-event": "yes",
    "guest-crashloaded-event": "no",
    "set-action-command": "no",
}


@pytest.mark.parametrize("write", [newer, older])
def test_what_an_emulator_reports_about_itself_is_read(write: Any, tmp_path: Path) -> None:
    """The name of the file is not used."""
    found = record(write(tmp_path / "caps_9.9.9.s390x.replies", session()))
    assert answers(found) == EXPECTED
    assert {fact.how for fact in found.facts.values()} == {"recorded"}
    emulator = found.emulator
    assert (emulator.version, emulator.target, emulator.command) == (
        "1.5.3",
        "x86_64",
        ["qemu-system-x86_64"],
    )


@pytest.mark.parametrize("write", [newer, older])
def test_a_file_with_crlf_is_read(write: Any, tmp_path: Path) -> None:
    """Git converts line ends on some systems."""
    path = write(tmp_path / "x.replies", session())
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert answers(record(path)) == EXPECTED


@pytest.mark.parametrize("write", [newer, older])
def test_behaviour_of_listed_machine_types_is_unknown(write: Any, tmp_path: Path) -> None:
    """Each machine type that is listed is in the record, and none was started."""
    found = record(write(tmp_path / "x.replies", session()))
    assert [(m.name, m.aliases, m.default) for m in found.machines] == [
        ("none", [], False),
        ("pc-i440fx-1.5", ["pc"], True),
    ]
    for machine in found.machines:
        assert machine.started
        assert "restart" in machine.on_panic.refused
    assert {fact.answer for fact in found.machine("pc").facts.values()} == {"unknown"}


def test_without_a_device_type_no_device_can_be_added(tmp_path: Path) -> None:
    """That follows from the list of types."""
    found = record(newer(tmp_path / "x.replies", session(types=())))
    devices = [one for m in found.machines for one in m.notifiers if one.model in ("isa", "pvpanic")]
    assert {one.facts["pvpanic-attachable"].answer for one in devices} == {"no"}


def test_a_notifier_of_the_architecture_is_documented(tmp_path: Path) -> None:
    """s390x needs no device."""
    machines = [
        {"name": "s390-ccw-virtio-9.2", "alias": "s390-ccw-virtio", "is-default": True, "cpu-max": 248},
        {"name": "none", "cpu-max": 1},
    ]
    found = record(newer(tmp_path / "x.replies", session(target="s390x", types=(), machines=machines)))
    fact = found.machine("s390-ccw-virtio").facts["cont-after-panic"]
    assert (fact.answer, fact.how) == ("yes", "documented")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ((("GUEST_CRASHLOADED", "event"), ("set-action", "command")), ("yes", "yes")),
        ((("GUEST_CRASHLOADED", "object"), ("set-action", "enum")), ("no", "no")),
        (None, ("unknown", "unknown")),
    ],
    ids=["in it", "not in it", "no schema"],
)
def test_newer_emulators_have_a_schema_instead(
    schema: tuple[tuple[str, str], ...] | None, expected: tuple[str, str], tmp_path: Path
) -> None:
    """It lists events and commands; objects and enumerations with the same names do not count."""
    pairs = session(events=None, commands=None, schema=schema)
    found = answers(record(newer(tmp_path / "x.replies", pairs)))
    assert (found["guest-crashloaded-event"], found["set-action-command"]) == expected


@pytest.mark.parametrize(("write", "starts"), [(newer, 2), (older, 1)])
def test_the_second_pass_is_about_the_same_emulator(write: Any, starts: int, tmp_path: Path) -> None:
    """Its ids start again, and it may have other machine types than the first one."""
    more = [*MACHINES, {"name": "isapc", "cpu-max": 1}]
    second = [session()[0], ({"execute": "query-machines"}, {"return": more})]
    path = write(tmp_path / "x.replies", session(), second)
    assert len(conversations(path)) == starts
    assert answers(record(path)) == EXPECTED
    assert len(record(path).machines) == 3


@pytest.mark.parametrize("write", [newer, older])
def test_old_machine_types_are_recognised_by_the_default_one(write: Any, tmp_path: Path) -> None:
    """QEMU 1.2 reports only the names of the others."""
    machines = [{"name": "isapc"}, {"name": "pc-1.2", "is-default": True, "alias": "pc"}, {"name": "none"}]
    found = record(write(tmp_path / "x.replies", session(machines=machines)))
    assert [(m.name, m.aliases, m.default) for m in found.machines] == [
        ("isapc", [], False),
        ("none", [], False),
        ("pc-1.2", ["pc"], True),
    ]


LOOKALIKES = {
    "properties of a device": [{"name": "pvpanic", "type": "bool"}, {"name": "container", "type": "str"}],
    "CPU models": listed("pvpanic", "qemu64"),
    "events by another name": listed("GUEST_PANICKED", "set-action"),
}


@pytest.mark.parametrize("value", LOOKALIKES.values(), ids=LOOKALIKES)
def test_a_reply_whose_command_is_not_certain_is_not_used(value: Any, tmp_path: Path) -> None:
    """In the older format a list of names could answer several commands."""
    pairs: list[Pair] = [({}, {"return": {}}), ({}, {"return": value}), ({}, {"return": {"arch": "x86_64"}})]
    assert set(answers(record(older(tmp_path / "x.replies", pairs))).values()) == {"unknown"}


TYPES = {"isa-pvpanic-type", "pvpanic-type", "pvpanic-pci-type"}
NOT_A_LIST_OF_TYPES = {
    "empty": [],
    "CPU models": listed("pvpanic", "qemu64"),
    "events": listed(*EVENTS, "pvpanic"),
    "properties": [{"name": name, "type": "bool"} for name in (*PLAIN, "pvpanic")],
    "a part": listed("pvpanic"),
    "no list": {"pvpanic": True},
    "no names": [*listed(*PLAIN), {"name": 1}],
    "no objects": ["container", "System", "pvpanic"],
}


@pytest.mark.parametrize("value", NOT_A_LIST_OF_TYPES.values(), ids=NOT_A_LIST_OF_TYPES)
@pytest.mark.parametrize("write", [newer, older])
def test_a_reply_to_another_command_is_not_used(write: Any, value: Any, tmp_path: Path) -> None:
    """Files are edited by hand; what does not match is left out, and the rest is read."""
    pairs = with_answer(session(), "qom-list-types", {"return": value})
    found = record(write(tmp_path / "x.replies", pairs))
    assert {name for name, answer in answers(found).items() if answer == "unknown"} >= TYPES
    assert wrong(answers(found)) == {}
    assert found.machine().facts["pvpanic-attachable"].answer == "unknown"


def test_a_reply_with_another_id_is_not_used() -> None:
    """libvirt has a file with the id ``libvirt-31a``."""
    objects = newer_objects(session())
    index = [one.get("execute") for one in objects].index("qom-list-types")
    objects[index + 1]["id"] += "a"
    assert answers(read(objects)) == EXPECTED | dict.fromkeys(TYPES, "unknown")


def test_a_list_of_some_types_is_not_used() -> None:
    """A type that is missing there may exist."""
    pairs = [
        (
            sent | {"arguments": {"implements": "device"}} if sent["execute"] == "qom-list-types" else sent,
            came,
        )
        for sent, came in session(types=())
    ]
    assert answers(read(newer_objects(pairs))) == EXPECTED | dict.fromkeys(TYPES, "unknown")


def test_a_list_that_could_be_of_two_kinds_is_not_used() -> None:
    """Such a list is an editing mistake."""
    pairs = with_answer(session(), "query-commands", {"return": listed(*COMMANDS, *PLAIN, "set-action")})
    assert answers(read(newer_objects(pairs))) == EXPECTED | {"set-action-command": "unknown"}


def test_a_list_of_types_after_another_command_is_not_used() -> None:
    """In the newer format the command must match, too."""
    pairs = [
        ({"execute": "x"} if sent["execute"] == "qom-list-types" else sent, came) for sent, came in session()
    ]
    assert answers(read(newer_objects(pairs))) == EXPECTED | dict.fromkeys(TYPES, "unknown")


@pytest.mark.parametrize("objects", [newer_objects, older_objects])
def test_a_reply_that_is_also_an_error_is_not_used(objects: Any) -> None:
    """QMP has no such reply."""
    pairs = with_answer(session(), "qom-list-types", refused() | {"return": listed(*PLAIN, "pvpanic")})
    assert answers(read(objects(pairs))) == EXPECTED | dict.fromkeys(TYPES, "unknown")


@pytest.mark.parametrize("objects", [newer_objects, older_objects])
def test_a_target_with_other_members_is_not_used(objects: Any) -> None:
    """``query-target`` returns one member."""
    pairs = with_answer(session(), "query-target", {"return": {"arch": "s390x", "enabled": True}})
    assert read(objects(pairs)).emulator.target == ""


@pytest.mark.parametrize("objects", [newer_objects, older_objects])
def test_replies_that_differ_are_not_used(objects: Any) -> None:
    """Which of them is right is not known."""
    pairs = [*session(), ({"execute": "qom-list-types"}, {"return": listed(*PLAIN)})]
    assert answers(read(objects(pairs))) == EXPECTED | dict.fromkeys(TYPES, "unknown")
    one, other = (
        session(events=None, schema=(("GUEST_PANICKED", kind), ("GUEST_CRASHLOADED", "object")))
        for kind in ("event", "object")
    )
    assert answers(read(objects(one)))["guest-panicked-event"] == "yes"
    assert answers(read(objects(one, other)))["guest-panicked-event"] == "unknown"


BEHAVIOUR: dict[str, list[Pair]] = {
    "an event in an answer": [({"execute": "cont"}, {"return": {}, "event": "GUEST_PANICKED", "data": {}})],
    "a device": [
        (
            {"execute": "qom-list", "arguments": {"path": "/machine/unattached"}},
            {"return": [{"name": "device[0]", "type": "child<pvpanic>"}]},
        )
    ],
    "a panic": [
        (
            {"execute": "human-monitor-command", "arguments": {"command-line": "o /b 0x505 1"}},
            {"return": "", "event": "GUEST_PANICKED"},
        ),
        ({"execute": "query-status"}, {"return": {"status": "guest-panicked", "running": False}}),
        ({"execute": "cont"}, {"return": {}}),
    ],
}


@pytest.mark.parametrize("more", BEHAVIOUR.values(), ids=BEHAVIOUR)
@pytest.mark.parametrize("objects", [newer_objects, older_objects])
def test_behaviour_is_unknown_whatever_a_file_holds(objects: Any, more: list[Pair]) -> None:
    """All of it was asked with ``-machine none``, which is none of the listed machine types."""
    found = read(objects([*session(types=("pvpanic",)), *more]))
    assert answers(found) == EXPECTED
    machines = [machine for machine in found.machines if machine.name != "none"]
    assert {fact.answer for machine in machines for fact in machine.facts.values()} == {"unknown"}


@pytest.mark.parametrize("objects", [newer_objects, older_objects])
@given(lost=st.sets(st.integers(0, 21)), relabelled=st.booleans())
@example(lost={15, 16, 17, 18, 19, 20}, relabelled=True)  # CPU models right after `qom-list-types`
def test_lost_objects_give_no_wrong_answer(objects: Any, lost: set[int], relabelled: bool) -> None:
    """The rest of a file, with or without ids, gives the same answers, or unknown."""
    whole = objects(session())
    left = [one for index, one in enumerate(whole) if index not in lost]
    if relabelled:
        left = [{name: value for name, value in one.items() if name != "id"} for one in left]
    with contextlib.suppress(RecordingError):
        assert wrong(answers(read(left))) == {}


NAMES = st.sets(
    st.sampled_from(
        ["pvpanic", "pvpanic-pci", "isa-pvpanic", "GUEST_PANICKED", "GUEST_CRASHLOADED", "set-action"]
    )
)


@given(NAMES, NAMES, NAMES)
def test_both_formats_give_the_same_answers(types: set[str], events: set[str], commands: set[str]) -> None:
    """A list is recognised by the names that every list of its kind has, whatever else it holds."""
    pairs = session(types=tuple(types), events=tuple(events), commands=tuple(commands))
    one, other = read(newer_objects(pairs)), read(older_objects(pairs))
    assert (one.emulator, answers(one)) == (other.emulator, answers(other))
    assert answers(one) == {
        fact: "yes" if word in names else "no"
        for fact, word, names in (
            ("isa-pvpanic-type", "isa-pvpanic", types),
            ("pvpanic-type", "pvpanic", types),
            ("pvpanic-pci-type", "pvpanic-pci", types),
            ("guest-panicked-event", "GUEST_PANICKED", events),
            ("guest-crashloaded-event", "GUEST_CRASHLOADED", events),
            ("set-action-command", "set-action", commands),
        )
    }


@pytest.mark.parametrize("objects", [newer_objects, older_objects])
@pytest.mark.parametrize(
    ("second", "named"),
    [
        (
            with_answer(
                session(),
                "query-version",
                {"return": {"qemu": {"major": 9, "minor": 0, "micro": 1}, "package": ""}},
            ),
            "1.5.3 and 9.0.1",
        ),
        (session(target="s390x"), "s390x and x86_64"),
    ],
    ids=["versions", "targets"],
)
def test_a_file_of_two_emulators_is_refused(objects: Any, second: list[Pair], named: str) -> None:
    """The error names both."""
    with pytest.raises(RecordingError, match=f"is about different emulators: {named}"):
        read(objects(session(), second))


WHOLE = b'{"execute": "qmp_capabilities", "id": "libvirt-1"}\n\n{"return": {}, "id": "libvirt-1"}\n'
BAD = {
    "empty": (b"", "object 1: "),
    "truncated": (WHOLE[:-20], "object 2: "),
    "binary": (bytes(range(256)), "object 1: "),
    "no object": (b"[]\n", "object 1 is not a JSON object"),
    "nested": (b'{"execute":' + b"[" * 100_000, "object 1: "),
    "a command too many": (WHOLE + b'\n{"execute": "x"}\n', "ends with a command without a reply"),
    "no command": (b'{"return": {}}\n\n{"return": {}}\n', "object 1 is not a command with a reply"),
    "no answer": (b'{"execute": "x"}\n\n{"execute": "y"}\n', "object 1 is not a command with a reply"),
    "a version that is none": (
        b'{"execute": "query-version"}\n\n{"return": {"qemu": {"major": "9"}}}\n',
        "does not have the version of an emulator",
    ),
    "too many objects": ((WHOLE + b"\n") * 5001, "more than 10000 objects"),
    "no version": (WHOLE, "does not have the version of an emulator"),
    "a greeting of something else": (b'{"QMP": 1}\n', "does not have the version of an emulator"),
    "a greeting without a version": (
        b'{"QMP": {"version": {}}}\n',
        "does not have the version of an emulator",
    ),
}


@pytest.mark.parametrize(("data", "why"), BAD.values(), ids=BAD)
def test_the_error_names_an_invalid_file(data: bytes, why: str, tmp_path: Path) -> None:
    """It is one line, with a hint."""
    path = tmp_path / "bad.replies"
    path.write_bytes(data)
    with pytest.raises(RecordingError) as caught:
        record(path)
    assert caught.value.message.startswith(f"{path}: {why}")
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """It would fill the memory."""
    path = tmp_path / "huge.replies"
    with path.open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(RecordingError, match="more than 8 MiB"):
        record(path)


@pytest.mark.parametrize("depth", [100, 500, 900, 950, 970, 980, 985, 990, 995, 2000])
def test_nesting_ends_in_an_answer_or_an_error(depth: int, tmp_path: Path) -> None:
    """Some depths can be decoded, and then not encoded."""
    path = older(tmp_path / "x.replies", session())
    deep = f'"parent": {"[" * depth}{"]" * depth}, "name": "pvpanic"'
    path.write_text(path.read_text().replace('"name": "pvpanic"', deep, 1))
    error = complaint(path)
    assert error.startswith(f"{path}: ") if error else answers(record(path)) == EXPECTED


@given(st.data())
def test_damage_ends_in_an_answer_or_an_error(data: st.DataObject) -> None:
    """No other exception is raised, and the error names the file."""
    write = data.draw(st.sampled_from([newer_objects, older_objects]))
    with tempfile.TemporaryDirectory() as name:
        path = write_objects(Path(name) / "x.replies", write(session()))
        whole = path.read_bytes()
        start, length = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 40))
        path.write_bytes(whole[:start] + data.draw(st.binary(max_size=8)) + whole[start + length :])
        error = complaint(path)
    assert not error or error.startswith(f"{path}: ")


def test_the_error_names_an_unreadable_file(tmp_path: Path) -> None:
    """It has the reason of the operating system."""
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "no such", "No such file or directory")):
        with pytest.raises(RecordingError) as caught:
            record(path)
        assert caught.value.message == f"{path}: {why}"


@pytest.mark.parametrize("where", [".", "qemucapabilitiesdata", "tests/qemucapabilitiesdata"])
def test_a_checkout_is_searched(where: str, tmp_path: Path) -> None:
    """Files are sorted with numbers as numbers."""
    folder = tmp_path / where
    folder.mkdir(parents=True, exist_ok=True)
    names = ["caps_1.7.0.x86_64.replies", "caps_2.9.0.x86_64.replies", "caps_2.10.0.x86_64.replies"]
    for name in (*reversed(names), "README"):
        (folder / name).touch()
    (folder / "folder.replies").mkdir()
    assert [path.name for path in replies_files(tmp_path)] == names


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    """So is what is not a folder."""
    (tmp_path / "README").touch()
    for folder in (tmp_path, tmp_path / "no such", tmp_path / "README"):
        with pytest.raises(RecordingError, match=r"holds no \*\.replies"):
            replies_files(folder)


def test_the_facts_are_those_of_any_record(tmp_path: Path) -> None:
    """A matrix can be built from it."""
    found = record(newer(tmp_path / "x.replies", session()))
    assert set(found.facts) == set(EMULATOR_QUESTIONS)
    assert {*NOTIFIER_QUESTIONS, "builtin-pvpanic"} <= set(found.machines[0].facts)
    assert set(found.machines[0].facts) <= {*MACHINE_QUESTIONS, *NOTIFIER_QUESTIONS}
