"""The notifiers of a machine type: what is known about each, and which one is the best.

A notifier that an architecture lacks is answered ``no`` without being tried.  One that architectures
bring is documented, where nothing stronger is known.
"""

from collections.abc import Mapping, Sequence

import msgspec

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.notifier_models import ISA_TYPES, NOTIFIER_MODELS, PCI_TYPE, NotifierModel
from onpanic.probe.facts import NOTIFIER_QUESTIONS, QUESTIONS, Fact
from onpanic.probe.facts.device import attachable
from onpanic.probe.facts.fact import no, unknown, yes
from onpanic.probe.facts.panic import proven_panics
from onpanic.probe.observations.devices import devices
from onpanic.probe.observations.notifiers import impossible, notifier_types, subject
from onpanic.probe.observations.panics import was_made
from onpanic.probe.record.capability_record import Builtin, Notifier, capabilities_of, on_panic_of

__all__ = ("best_of", "notifiers_of", "sourced")

# The best one first, if several work: what the architecture brings needs no device, libvirt's default is isa
_PREFERRED: tuple[NotifierModel, ...] = ("s390", "pseries", "isa", "pvpanic", "hyperv")
_DOCUMENTED = {
    "s390": "a disabled wait PSW ends in GUEST_PANICKED (z/Architecture Principles of Operation)",
    "pseries": "the RTAS call ibm,os-term ends in GUEST_PANICKED (Power Architecture Platform Reference)",
}

_NOT_ASKED = unknown("not asked")


def notifiers_of(
    conversations: Sequence[Conversation],
    machine: str,
    target: str,
    emulator_facts: Mapping[str, Fact],
    machine_facts: Mapping[str, Fact],
    builtin: Builtin | None,
    *,
    recorded: bool,
) -> list[Notifier]:
    """Return an entry for each of libvirt's models.

    :param conversations: Those with the machine type.
    :param machine: The machine type's name.
    :param target: The emulator's target; empty if it did not say.
    :param emulator_facts: Facts of the emulator, by name.
    :param machine_facts: Facts of the machine type, by name.
    :param builtin: The device that the machine type creates by itself; None without one.
    :param recorded: The conversations come from a recording, and so do the facts.
    """
    known = {**emulator_facts, **machine_facts}

    def entry(model: NotifierModel, qom_type: str | None) -> Notifier:
        held = [c for c in conversations if subject(c) != model or c.own_device in (qom_type, None)]
        reason = impossible(model, target, machine)
        absent = no("documented", reason) if reason else _without_device(held, model, machine, emulator_facts)
        if absent:
            facts = _impossible(sourced(absent, recorded=recorded))
        elif model in _DOCUMENTED and not target:
            facts = dict.fromkeys(NOTIFIER_QUESTIONS, unknown("the emulator did not say its architecture"))
        else:
            facts = _facts(held, model, emulator_facts, recorded=recorded)
        capabilities = capabilities_of(known, facts, target, machine, builtin)
        decision = on_panic_of(capabilities, codes_only=True)
        made = [panic for panic in proven_panics(held, model) if panic.there]
        masks = [panic.mask for panic in made if panic.mask is not None]
        shown = qom_type if facts["pvpanic-attachable"].answer == "yes" else None
        return Notifier(model, shown, facts, masks[0] if masks else None, decision)

    found = []
    for model in NOTIFIER_MODELS:
        types = _types(conversations, model)
        found.append(best_of([entry(model, qom_type) for qom_type in types or [None]]))
    return found


def best_of(notifiers: Sequence[Notifier], model: NotifierModel | None = None) -> Notifier:
    """Return the notifier that works, or that comes nearest to it.

    :param notifiers: At least one.
    :param model: Only this model, if it is among them.
    """
    named = [notifier for notifier in notifiers if notifier.model == model]
    return max(named or notifiers, key=_rank)


def _rank(notifier: Notifier) -> tuple[int, ...]:
    """Return how near a notifier is to one that works: what it can do, in the order of the requirements."""
    answers = []
    for question in QUESTIONS:
        if question.requires and question.scope == "notifier":
            answer = notifier.facts.get(question.name, _NOT_ASKED).answer
            answers.append(2 if answer == question.requires.answer else 1 if answer == "unknown" else 0)
    works = all(value == 2 for value in answers)
    first = next((n for n, value in enumerate(answers) if value == 0), len(answers))
    answers[first + 1 :] = [0] * len(answers[first + 1 :])  # they follow from the first that is wrong
    there = notifier.facts.get("pvpanic-attachable", _NOT_ASKED)
    # Of several that the guest cannot have, the one that was tried is the best known
    strength = {"documented": 0, "introspected": 1}.get(there.how or "", 2) if there.answer == "no" else 2
    if notifier.model == "hyperv" and not works:
        answers, strength = [0] * len(answers), 0  # it depends on the host, and says nothing about the build
    return (int(works), *answers, strength, -_PREFERRED.index(notifier.model))


def sourced(fact: Fact, *, recorded: bool) -> Fact:
    """Return a fact that says that it is from a recording, if it is."""
    seen = fact.how in ("observed", "introspected")
    return msgspec.structs.replace(fact, how="recorded") if recorded and seen else fact


def _types(conversations: Sequence[Conversation], model: NotifierModel) -> list[str | None]:
    """Return the QOM types that a notifier was tried under, or that the user's own device has."""
    tried: list[str | None] = [*notifier_types(conversations, model)]
    if tried or model not in ("isa", "pvpanic"):
        return tried
    types = ISA_TYPES if model == "isa" else (PCI_TYPE,)
    present = [d.type for c in conversations for d in devices(c) or () if d.origin == "added"]
    return [name for name in dict.fromkeys(present) if name in types]


def _facts(
    held: Sequence[Conversation],
    model: NotifierModel,
    emulator_facts: Mapping[str, Fact],
    *,
    recorded: bool,
) -> dict[str, Fact]:
    facts = {
        name: sourced(question.answered_by(held, model), recorded=recorded)
        for name, question in NOTIFIER_QUESTIONS.items()
    }
    event = emulator_facts["guest-panicked-event"]
    if event.answer == "no" and facts["panic-reported"].answer == "unknown":
        facts["panic-reported"] = event
    tried = facts["panic-reported"].answer != "unknown" or any(map(was_made, held))
    if model not in _DOCUMENTED or tried or event.answer != "yes":
        return facts
    names = ("panic-reported", "panic-stops-guest", "cont-after-panic")
    documented = dict.fromkeys(names, yes("documented", _DOCUMENTED[model]))
    documented["panic-action"] = Fact("pause", "documented", _DOCUMENTED[model])
    return facts | documented


def _without_device(
    conversations: Sequence[Conversation],
    model: NotifierModel,
    machine: str,
    emulator_facts: Mapping[str, Fact],
) -> Fact | None:
    """Return the fact that there is no device for a notifier; None if there is, or if it was tried."""
    types = {"isa": ("pvpanic-type", "isa-pvpanic-type"), "pvpanic": ("pvpanic-pci-type",)}.get(model)
    if types is None or attachable(conversations, model).answer != "unknown":
        return None
    if machine == "none" and any(c.answered for c in conversations):
        return no("documented", "the machine type none has no bus")
    facts = [emulator_facts[name] for name in types]
    return facts[0] if all(fact.answer == "no" for fact in facts) else None


def _impossible(absent: Fact) -> dict[str, Fact]:
    """Return the facts of a notifier that the guest cannot have."""
    facts = dict.fromkeys(NOTIFIER_QUESTIONS, absent)
    facts["panic-action"] = Fact("run", absent.how, absent.detail)
    facts["cont-after-panic"] = unknown("nothing stops the guest, so there is nothing to continue")
    return facts
