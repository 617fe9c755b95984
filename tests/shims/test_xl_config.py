"""The crash action of xl's configuration files is a policy; the rest of a file is not changed."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.cli import main
from onpanic.core.errors import DocumentError, RefusedError
from onpanic.probe import CapabilityRecord
from onpanic.probe.decision.policy import Policy
from onpanic.probe.facts.xen_questions import ON_CRASH_WORDS
from onpanic.probe.xen.record_of_xen import unasked_xen
from onpanic.shims.xl_config.config_settings import settings_of
from onpanic.shims.xl_config.crash_action import name_of_config, policy_of_config, with_policy

POLICIES = [
    Policy(value, on_crash=action, on_crash_coredump=dumps)
    for value, (action, dumps) in product(
        ("default", "crash"),
        [
            (None, False),
            *((word, False) for word in ("destroy", "restart", "preserve", "rename-restart")),
            ("destroy", True),
            ("restart", True),
        ],
    )
]

SAMPLE = b"""\
# A guest
name = "guest"; type = 'pvh'
vif = [ "bridge=xenbr0",  # on_crash = "restart"
        'script="x",on_crash="y"', ]
extra = "on_crash = 'preserve' \\" #"
on_reboot = "restart"
"""

names = st.sampled_from(["name", "type", "vif", "on_reboot", "on_crashes", "a.b", "x_1"])
atoms = st.one_of(
    st.sampled_from(["1", "0x1f", "'a'", '"#; [x"', "'on_crash=\"restart\"'", '"\\""', '"é"', "''"]),
    st.text(st.characters(codec="utf-8", exclude_characters='"\\\n'), max_size=5).map(lambda t: f'"{t}"'),
)
gaps = st.sampled_from(["", " ", "\t", "  "])
breaks = st.sampled_from(["", "\n", " # ]\n", " "])
ends = st.sampled_from(["\n", ";", "\n\n", " # on_crash = 'x'\n", " ;; "])
lists = st.recursive(
    atoms,
    lambda inner: st.tuples(st.lists(st.tuples(breaks, inner, breaks).map("".join)), breaks, breaks).map(
        lambda parts: f"[{parts[1]}{','.join(parts[0])}{',' + parts[2] if parts[0] else ''}]"
    ),
    max_leaves=5,
)
settings = st.tuples(gaps, names, gaps, st.just("="), gaps, lists, gaps, ends).map("".join)
actions = st.tuples(
    gaps,
    st.just("on_crash"),
    gaps,
    st.sampled_from(["=", "="]),
    gaps,
    st.sampled_from([f"{q}{word}{q}" for word in ON_CRASH_WORDS for q in "'\""]),
    gaps,
    ends,
).map("".join)
files = st.lists(st.one_of(settings, settings, actions)).map(lambda lines: "".join(lines).encode())


@given(files, st.sampled_from(POLICIES))
def test_only_the_crash_action_is_changed(data: bytes, policy: Policy) -> None:
    """Every other setting is where it was, and so is every byte between."""
    written, _ = with_policy(data, policy)
    found, _ = policy_of_config(written)
    assert (found.crash_action or "destroy") == (policy.crash_action or "destroy")
    assert with_policy(written, policy)[0] == written
    before = [one for one in settings_of(data) if one.name == "on_crash"]
    if not before:
        assert written.startswith(data)
        assert written[len(data) :].strip() in (b"", f'on_crash = "{policy.crash_action}"'.encode())
        return
    start, end = before[-1].operator[0], before[-1].value[1]
    assert written[:start] == data[:start]
    assert written.endswith(data[end:])


@given(files, st.sampled_from(POLICIES))
def test_there_and_back_changes_nothing(data: bytes, policy: Policy) -> None:
    """A file with another policy, and then with its own again, is the same file; its quotes are kept."""
    own, _ = policy_of_config(data)
    if own.on_crash is not None:
        assert with_policy(with_policy(data, policy)[0], own)[0] == data


@given(st.binary(max_size=60))
def test_no_file_is_an_exception(data: bytes) -> None:
    """It is read, or the error says where it is not."""
    try:
        policy_of_config(data)
    except DocumentError as error:
        assert error.message.startswith("line ")  # noqa: PT017


@pytest.mark.parametrize(
    ("data", "policy", "notes"),
    [
        (b"", Policy("crash"), ""),
        (SAMPLE, Policy("crash"), ""),
        (b"on_crash = 'destroy'", Policy("crash", on_crash="destroy"), ""),
        (b'on_crash="preserve"\non_crash="restart"\n', Policy("crash", on_crash="restart"), "limit"),
        (b'on_crash="pre"\non_crash+="serve"', Policy("crash", on_crash="preserve"), ""),
        (b'on_crash+="preserve"', Policy("crash", on_crash="preserve"), ""),
        (b'on_crash=["x"]\non_crash="preserve"', Policy("crash", on_crash="preserve"), ""),
        (b"on_crash='rename-restart'", Policy("crash", on_crash="rename-restart"), "renames limit"),
        (
            b"on_crash='coredump-destroy'",
            Policy("crash", on_crash="destroy", on_crash_coredump=True),
            "failed-dump overwrites",
        ),
        (
            b"type='pvh'\non_crash='coredump-restart'",
            Policy("crash", on_crash="restart", on_crash_coredump=True),
            "failed-dump long limit overwrites",
        ),
        (
            b"builder='hvm';on_crash='coredump-destroy'",
            Policy("crash", on_crash="destroy", on_crash_coredump=True),
            "failed-dump long overwrites",
        ),
    ],
)
def test_the_policy_of_a_file(data: bytes, policy: Policy, notes: str) -> None:
    """The last setting counts; without one, xl destroys the guest."""
    found, noted = policy_of_config(data)
    assert found == policy
    assert len(noted) == len(notes.split())
    assert all(word in note.code for word, note in zip(notes.split(), noted, strict=True))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\non_crash = preserve\n", "line 2: .* near 'preserve'"),
        (b"on_crash\n='preserve'\n", "line 1: "),
        (b"on_crash=\n'preserve'\n", "line 1: "),
        (b"on_crash='preserve'\r\n", "line 1: "),
        (b"On_crash='preserve'\n", "line 1: "),
        (b"x=1 y=2\n", "line 1: .* near 'y'"),
        (b"x=[1\n2]\n", "line 2: .* near '2'"),
        (b"x=[,]\n", "line 1: "),
        (b"x=[1;2]\n", "line 1: .* near ';'"),
        (b"x=[1", "line 1: .* at its end"),
        (b"x=1]\n", "line 1: "),
        (b"x=-1\n", "line 1: "),
        (b"x='a\nb'\n", "line 1: "),
        (b"x=1 # no line end", "line 1: "),
        (b"import os\n", "line 1: "),
        (b"x='a'\nx+=['b']\n", "line 2: "),
        (b"x=" + b"[" * 200, "too many lists in lists"),
        (b"#" * (1 << 20) + b"\n", "longer than 1 MiB"),
        (b"on_crash='soft-reset'\n", "line 1: on_crash is 'soft-reset', which no policy has"),
        (b"\non_crash=5\n", "line 2: on_crash is '5'"),
        (b"on_crash='preserve\\n'\n", "which no policy has"),
        (b"x='\\x41'\n", "line 1: "),
        (b"x='\\q'\n", "line 1: "),
        (b"on_crash=['preserve']\n", "line 1: on_crash is a list, which xl ignores"),
    ],
)
def test_what_xl_does_not_read_is_an_error(data: bytes, error: str) -> None:
    """The error names the line."""
    with pytest.raises(DocumentError, match=error) as caught:
        policy_of_config(data)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (Policy("restart"), "xen-only-crash"),
        (Policy("crash", on_crash="preserve", on_crash_coredump=True), "xen-coredump-on-crash"),
        (Policy("crash", on_crash="soft-reset"), "unknown-on-crash"),
        (Policy("crash", grace=5.0), "grace-needs-action"),
    ],
)
def test_what_xl_would_not_keep_is_refused(policy: Policy, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        with_policy(SAMPLE, policy)
    assert caught.value.decision.code == code


def test_a_record_counts(record: CapabilityRecord) -> None:
    """A record of QEMU says nothing about xl."""
    assert with_policy(SAMPLE, Policy("crash"), unasked_xen()) == (SAMPLE, ())
    with pytest.raises(RefusedError, match="record-of-another-hypervisor"):
        with_policy(SAMPLE, Policy("crash"), record)


def test_the_name_of_a_guest() -> None:
    assert (name_of_config(SAMPLE), name_of_config(b"")) == ("guest", "")


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "guest.cfg"
    path.write_bytes(SAMPLE + b"on_crash = 'coredump-restart'\n")
    return str(path)


def test_the_commands_are_each_others_input(
    config: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """What one prints, the other takes as the policy."""
    assert main(["from-libvirt", "-q", "--format", "xl", config]) == 0
    domain = tmp_path / "domain.xml"
    domain.write_bytes(capsysbinary.readouterr().out)
    plain = tmp_path / "plain.cfg"
    plain.write_bytes(SAMPLE)
    assert main(["to-libvirt", "-q", "--format", "xl", "--policy", str(domain), str(plain)]) == 0
    assert capsysbinary.readouterr() == (SAMPLE + b'on_crash = "coredump-restart"\n', b"")


def test_without_a_policy_the_file_is_checked(
    config: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """It is printed as it is, with its notes."""
    assert main(["to-libvirt", "--format", "xl", config]) == 0
    out, err = capsysbinary.readouterr()
    assert out == Path(config).read_bytes()
    assert b"xen-failed-dump-ends-guest" in err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--on-crash", "preserve", "--on-crash-coredump"], 1, "xen-coredump-on-crash"),
        (["--on-crash", "ignore"], 1, "unknown-on-crash"),
        (["--on-crash-coredump"], 2, "--on-crash-coredump without --on-crash"),
        (["--connect", "xen:///system"], 2, "xl's files depend on no emulator and no libvirt"),
        (["--on-crash", "destroy", "--policy", "x.xml"], 2, "two policies"),
        (["--on-crash", "destroy", "--format", "libvirt"], 2, "without --format xl"),
    ],
)
def test_what_the_command_refuses(
    words: list[str], status: int, said: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["to-libvirt", "--format", "xl", *words, config]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
