"""Write cli/onpanic/cli/codes.py: `make docs`.

It holds what ``onpanic explain`` and ``onpanic accept --record`` print.  The catalogue and the rules
import all facts and the code that reads them, which takes five times as long as the start of the
interpreter.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from onpanic.check.tags import TAGS
from onpanic.probe.decision.catalogue import CATALOGUE
from onpanic.probe.decision.policy import ON_PANIC, Policy
from onpanic.probe.decision.rules import UNASKED, decide
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS
from onpanic.probe.facts import QUESTIONS, Answer

MODULE = Path(__file__).parent.parent / "cli/onpanic/cli/codes.py"
HEAD = '''\
"""What ``onpanic explain`` and ``onpanic accept --record`` print.  Written by `make docs`."""

__all__ = ("CODES", "NEEDS_NOTIFIER", "NOTIFIERS", "REQUIRED")

#: By code: kind, reason, remedy, and severity as a finding, empty if a check does not find it.
CODES: dict[str, tuple[str, str, str, str]] = {
'''


def quoted(text: str) -> str:
    return repr(text) if '"' in text else json.dumps(text, ensure_ascii=False)


def source() -> str:
    lines = [HEAD]
    for entry in CATALOGUE.values():
        severity = TAGS[entry.code].severity if entry.code in TAGS else ""
        lines.append(f"    {quoted(entry.code)}: (\n")
        lines += [f"        {quoted(word)},\n" for word in (entry.kind, entry.reason, entry.remedy, severity)]
        lines.append("    ),\n")
    return "".join([*lines, "}\n", *required()])


def answers_like(answer: Answer) -> tuple[Answer, ...]:
    """Return the answers that a question with this answer can have, without ``unknown``."""
    return ("yes", "no") if answer in ("yes", "no") else ("pause", "poweroff", "run", "exit")


def required() -> Iterator[str]:
    """Yield what a decision looks at in a record."""
    values = [v for v in ON_PANIC if decide(Policy(v), "qemu", UNASKED).code == "probe-inconclusive"]
    yield "\n#: The values of <on_panic> that need a notifier; each takes a coredump.\nNEEDS_NOTIFIER = (\n"
    yield from (f"    {quoted(value)},\n" for value in values)
    yield ")\n\n#: libvirt's models of notifiers.\nNOTIFIERS = (\n"
    yield from (f"    {quoted(model)},\n" for model in NOTIFIER_MODELS)
    yield ")\n\n#: The facts that a notifier needs: the answer, and the refusal by each other answer.\n"
    yield "REQUIRED: tuple[tuple[str, str, dict[str, str]], ...] = (\n"
    for question in QUESTIONS:
        wanted = question.requires
        if wanted:
            yield f"    (\n        {quoted(question.name)},\n        {quoted(wanted.answer)},\n        {{\n"
            refusals = {answer: wanted.refused_by(answer) for answer in answers_like(wanted.answer)}
            yield from (
                f"            {quoted(answer)}: {quoted(code)},\n"
                for answer, code in refusals.items()
                if code
            )
            yield "        },\n    ),\n"
    yield ")\n"


if __name__ == "__main__":
    MODULE.write_text(source(), encoding="utf-8")
