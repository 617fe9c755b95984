"""The policy of an ``xl`` configuration file: its ``on_crash``, which is all that it has for one.

Every policy that Xen can honour is a word of ``on_crash``, so that none has to be stored beside it, and the
policy of a file is always what ``xl`` does.  The rest of a file is not changed by a byte.
"""

from onpanic.core.errors import DocumentError, RefusedError
from onpanic.core.untrusted import printable
from onpanic.probe.decision.policy import Policy
from onpanic.probe.decision.rules import UNASKED, decide, refusal
from onpanic.probe.facts.xen_questions import ON_CRASH_WORDS
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.translation.notes import Note
from onpanic.shims.translation.xen_notes import notes_of_xl
from onpanic.shims.xl_config.config_settings import Setting, settings_of

__all__ = ("name_of_config", "policy_of_config", "with_policy")

_NAME = "on_crash"

#: What xl does without the setting.
_DEFAULT = "destroy"

# xl's types of guest, with libvirt's machine type for each; builder is the older setting
_TYPES = {"pv": "xenpv", "pvh": "xenpvh", "hvm": "xenfv", "generic": "xenpv", "linux": "xenpv"}


def policy_of_config(data: bytes) -> tuple[Policy, tuple[Note, ...]]:
    """Return the policy that ``xl`` carries out for a guest, and notes on it.

    :param data: The content of its configuration file.
    :raise DocumentError: When ``xl`` would not read it, or its ``on_crash`` is not a word that a policy has.
    """
    settings = settings_of(data)
    own = _of_name(settings, _NAME)
    if not own:
        return Policy("crash"), ()
    word, line = _word(own), own[-1].line
    if word is None:
        raise DocumentError(
            f"line {line}: on_crash is a list, which xl ignores", f'use a word: on_crash = "{_DEFAULT}"'
        )
    if word not in ON_CRASH_WORDS:
        raise DocumentError(
            f"line {line}: on_crash is {printable(word, 60)!r}, which no policy has",
            f"use one of {', '.join(ON_CRASH_WORDS)}",
        )
    action = word.removeprefix("coredump-")
    policy = Policy("crash", on_crash=action, on_crash_coredump=action != word)
    return policy, notes_of_xl(word, _guest_type(settings))


def name_of_config(data: bytes) -> str:
    """Return the name of a file's guest; empty if it has none.  Raises as `settings_of`."""
    return _word(_of_name(settings_of(data), "name")) or ""


def with_policy(
    data: bytes, policy: Policy, record: CapabilityRecord | None = None
) -> tuple[bytes, tuple[Note, ...]]:
    """Return a configuration file with a policy, and notes on what ``xl`` makes of it.

    :param data: The file's content.
    :param policy: The policy.
    :param record: What the Xen can do; None if it was not asked, so that the rules alone decide.
    :raise DocumentError: When ``xl`` would not read the file.
    :raise RefusedError: When the policy cannot be honoured, or the record is of another hypervisor.
    """
    settings = settings_of(data)
    guest_type = _guest_type(settings)
    if record is not None and record.hypervisor != "xen":
        raise RefusedError(refusal("record-of-another-hypervisor", "QEMU; the file is xl's"))
    known = record.capabilities(guest_type) if record else UNASKED
    decision = decide(policy, "xen", known)
    if not decision:
        raise RefusedError(decision)
    action = policy.crash_action
    return _with_word(data, _of_name(settings, _NAME), action), notes_of_xl(action, guest_type)


def _with_word(data: bytes, own: list[Setting], action: str | None) -> bytes:
    """Return a file whose crash action is a word.

    :param own: The settings of it that the file has.
    :param action: The word; None for xl's default, which a file without the setting has.
    """
    if _word(own) == (action or _DEFAULT) or (action is None and not own):
        return data
    word = (action or _DEFAULT).encode()
    if not own:
        end = b"" if data.endswith(b"\n") or not data else b"\n"
        return data + end + b'on_crash = "' + word + b'"\n'
    last = own[-1]
    quote = b"'" if data[last.value[0] : last.value[0] + 1] == b"'" else b'"'
    (start, middle), (value, end_of_value) = last.operator, last.value
    return b"".join((data[:start], b"=", data[middle:value], quote, word, quote, data[end_of_value:]))


def _word(own: list[Setting]) -> str | None:
    """Return the value of a name that is set several times; None if it is a list, empty without any.

    What has a backslash is returned as it is written: no word has one.
    """
    word: str | None = ""
    for setting in own:
        text = setting.text
        word = text if not setting.adds or word is None or text is None else word + text
    return word


def _of_name(settings: list[Setting], name: str) -> list[Setting]:
    return [setting for setting in settings if setting.name == name]


def _guest_type(settings: list[Setting]) -> str:
    """Return the guest's type, as libvirt's machine type for it; xl's default is PV."""
    for name in ("type", "builder"):
        word = _word(_of_name(settings, name))
        if word in _TYPES:
            return _TYPES[word]
    return "xenpv"
