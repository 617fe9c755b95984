"""Which notifiers a machine type can have by its architecture, and which of them a start is about."""

from collections.abc import Sequence

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.command_line import OPTIONS_OF_PROBE, X86
from onpanic.probe.emulator.command_line_parser import option_values
from onpanic.probe.emulator.notifier_models import HYPERV_CPUS, ISA_TYPES, PCI_TYPE, NotifierModel

__all__ = ("about", "architectural_notifier", "impossible", "notifier_types", "subject")


def subject(conversation: Conversation) -> NotifierModel | None:
    """Return the notifier that the probe added in a start; None if it added none."""
    return conversation.derived(_subject)


def _subject(conversation: Conversation) -> NotifierModel | None:
    own = conversation.own_device
    if own in ISA_TYPES:
        return "isa"
    if own == PCI_TYPE:
        return "pvpanic"
    return "hyperv" if set(_own_cpus(conversation)) & set(HYPERV_CPUS) else None


def _own_cpus(conversation: Conversation) -> list[str]:
    """Return the CPUs that the probe chose; the user may have chosen the same ones."""
    words = conversation.argv
    since = max((n for n, word in enumerate(words) if word == OPTIONS_OF_PROBE), default=len(words))
    return option_values(words[since:], "cpu")


def about(
    conversations: Sequence[Conversation], model: NotifierModel, qom_type: str | None = None
) -> list[Conversation]:
    """Return the conversations that bear on a notifier: those with it, and those without any.

    :param conversations: Those with one machine type.
    :param qom_type: The type of device, where a notifier has several; None for any.
    """
    return [
        conversation
        for conversation in conversations
        if subject(conversation) in (model, None)
        and (qom_type is None or conversation.own_device in (qom_type, None))
    ]


def notifier_types(conversations: Sequence[Conversation], model: NotifierModel) -> list[str]:
    """Return the QOM types under which the probe tried a notifier, in that order; empty if it tried none."""
    own = (c.own_device for c in conversations if c.own_device and subject(c) == model)
    return list(dict.fromkeys(own))


def architectural_notifier(target: str, machine: str) -> NotifierModel | None:
    """Return the notifier that a machine type always has because of its architecture, None for most."""
    if target == "s390x" and machine != "none":
        return "s390"
    if target.startswith("ppc64") and machine.startswith("pseries"):
        return "pseries"
    return None


def impossible(model: NotifierModel, target: str, machine: str) -> str:
    """Return why a machine type cannot have a notifier, by its architecture; empty if it may have it.

    :param target: For example ``x86_64``; empty if the emulator did not say.
    """
    if model == "hyperv" and target and target not in X86:
        return "Hyper-V's interface exists on x86 only"
    if model == "pseries" and target.startswith("ppc64") and machine == "default":
        return ""  # which machine type that is, is not known
    if model in ("pseries", "s390") and target and architectural_notifier(target, machine) != model:
        return f"it belongs to the {'pseries' if model == 'pseries' else 's390x'} machines"
    if model not in ("isa", "pvpanic") and machine == "none":
        return "the machine type none has no CPU"
    return ""
