"""Write docs/reference/codes.md, a heading for each code that onpanic prints: `make docs`."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from manual.roff import COMMAND, sentence

from onpanic.check.tags import TAGS
from onpanic.cli.explain import TITLES
from onpanic.probe.decision.catalogue import CATALOGUE, Explanation
from onpanic.probe.decision.policy import ON_PANIC
from onpanic.probe.facts import QUESTIONS, Question
from onpanic.probe.facts.xen_questions import XEN_QUESTIONS, XenQuestion

__all__ = ("PAGE", "page")

PAGE = Path(__file__).parent.parent / "docs/reference/codes.md"
HEAD = """\
# Codes

What onpanic prints about a policy, a domain, a build or a fact has a code. A code keeps its meaning, so
scripts can compare it. `onpanic explain` prints this list, and `onpanic explain CODE` one entry. `make docs`
writes this page from the same catalogue.
"""
_ABOUT = {
    "refusal": "Why a policy cannot be promised, or a guest not be continued or migrated.\n"
    "Those with a severity are also findings of `onpanic check`.",
    "help": "The policy is accepted if something is set for it, which `onpanic to-libvirt` does.",
    "note": "What libvirt or Xen's toolstack does not do by itself, and side effects of what was written.",
    "finding": "What `onpanic check` finds beside those refusals.",
    "fact": "What is asked about an emulator, a machine type, a notifier, or the toolstack of a Xen host.",
}
_SCOPES = {
    "emulator": "once",
    "machine": "for each machine type",
    "notifier": "for each notifier of a machine type",
}
#: What is code: XML, options, settings, commands, and QEMU's events.
_CODE = re.compile(
    r"<[^<>]+>(?:[\w-]+</\w+>)?"
    r"|(?<![\w-])--?[a-z][\w-]*(?: [a-z-]+=[\w.-]*\w)?"
    r"|\b[a-z_.]+=(?:[\w.-]*\w)?"
    rf"|{COMMAND}(?: --[a-z-]+)?"
    r"|\b[A-Z]+_[A-Z]+\b"
)


def page() -> str:
    """Return the page."""
    return HEAD + "".join(
        f"\n## {title}\n\n{_ABOUT[kind]}\n" + "".join(map(_entry, _of_kind(kind)))
        for kind, title in TITLES.items()
    )


def _of_kind(kind: str) -> Iterator[Explanation]:
    yield from (entry for entry in CATALOGUE.values() if entry.kind == kind)


def _entry(entry: Explanation) -> str:
    fact = entry.kind == "fact"
    remedy = f"{'Known from' if fact else 'What to do'}: {_prose(entry.remedy)}."
    more = [f"Severity as a finding: {TAGS[entry.code].severity}."] if entry.code in TAGS else []
    more += _asked(entry.code) if fact else _refusing(entry.code)
    blocks = (f"### {entry.code}", _begun(entry.reason), remedy, " ".join(more))
    return "".join(f"\n{block}\n" for block in blocks if block)


def _asked(name: str) -> Iterator[str]:
    """Yield for which part of a record a fact is asked, and what its answers lead to."""
    questions: tuple[Question | XenQuestion, ...] = (*QUESTIONS, *XEN_QUESTIONS)
    question = next(one for one in questions if one.name == name)
    yield f"Asked: {_SCOPES[question.scope]}."
    if isinstance(question, Question) and question.requires:
        wanted = question.requires
        codes = dict.fromkeys((*wanted.refusals.values(), wanted.refusal))
        yield f"Required of a notifier: `{wanted.answer}`. Other answers lead to {_links(codes)}."


def _refusing(code: str) -> Iterator[str]:
    """Yield the facts that lead to a refusal."""
    facts = [
        one.name
        for one in QUESTIONS
        if one.requires and code in (one.requires.refusal, *one.requires.refusals.values())
    ]
    if facts:
        yield f"Decided by the fact {_links(facts)}."


def _links(codes: Iterable[str]) -> str:
    return " or ".join(f"[{code}](#{code})" for code in codes)


def _begun(reason: str) -> str:
    """Return a reason as a sentence; one that begins with what is typed keeps its small letter."""
    first = reason.split()[0]
    if first in ON_PANIC:
        return _prose(f"`{first}`{reason.removeprefix(first)}.")
    said = f"{reason}." if re.match(r"\w+[-=]", reason) else sentence(reason)
    return _prose(said.replace("?.", "?"))


def _prose(text: str) -> str:
    return _CODE.sub(r"`\g<0>`", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
