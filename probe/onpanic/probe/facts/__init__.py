"""Facts: questions, and the pure functions that read their answers from conversations.

`QUESTIONS` has every question with all that is known about it.  Each is defined once, in the
module that answers it.
"""

from onpanic.probe.facts import acpi, device, introspection, panic, vmcoreinfo_device
from onpanic.probe.facts.fact import Answer, Fact, How
from onpanic.probe.facts.question import Question

__all__ = (
    "EMULATOR_QUESTIONS",
    "MACHINE_QUESTIONS",
    "NOTIFIER_QUESTIONS",
    "QUESTIONS",
    "Answer",
    "Fact",
    "How",
    "Question",
)

#: Every question, in the order in which records list the facts.
QUESTIONS: tuple[Question, ...] = (
    *introspection.QUESTIONS,
    *device.QUESTIONS,
    *panic.QUESTIONS,
    *acpi.QUESTIONS,
    *vmcoreinfo_device.QUESTIONS,
)

#: Those about the emulator, by name.
EMULATOR_QUESTIONS = {question.name: question for question in QUESTIONS if question.scope == "emulator"}

#: Those about a machine type, by name.
MACHINE_QUESTIONS = {question.name: question for question in QUESTIONS if question.scope == "machine"}

#: Those about a notifier of a machine type, by name.
NOTIFIER_QUESTIONS = {question.name: question for question in QUESTIONS if question.scope == "notifier"}
