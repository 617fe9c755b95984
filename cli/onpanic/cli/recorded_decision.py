"""``onpanic accept VALUE --record FILE`` for the usual arguments, without argparse and msgspec.

Importing these two takes three times as long as starting the interpreter.  Whatever is unusual
about the arguments or the record is left to `onpanic.cli.accept`, which reports it.  The rules are
those of `onpanic.probe.decision.rules`, as a table that `make docs` writes; a test compares the answers.
"""

import os

from onpanic.cli.codes import CODES, NEEDS_NOTIFIER, NOTIFIERS, REQUIRED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

__all__ = ("run_plain",)

_LIMIT = 2**22  # bytes; a record of all machine types has a quarter of that
_NOT_A_RECORD = (AttributeError, LookupError, TypeError, ValueError)
_OPTIONS = {"--record": "record", "--machine": "machine", "--notifier": "notifier"}


class _ScannerSettings:
    """What the scanner reads of a `json.JSONDecoder`."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name: str) -> "NoReturn":
        raise ValueError(name)  # NaN is not JSON

    def __init__(self) -> None:
        self.memo: dict[str, str] = {}


def run_plain(argv: "Sequence[str]") -> int | None:
    """Print the decision and return the exit status; None if the arguments or the record are unusual."""
    given = _arguments(argv)
    if given is None or given["value"] not in NEEDS_NOTIFIER or not given["record"]:
        return None
    try:
        record = _record(given["record"])
        facts, notifier = _judged(record, given["machine"], given["notifier"])
        decision = _decision(facts)
    except (ImportError, OSError, RecursionError, StopIteration, SystemError, *_NOT_A_RECORD):
        # SystemError: the scanner needs a module of `json` to say what is wrong
        return None
    if decision:
        code, detail = decision
        _, reason, remedy, _ = CODES[code]
        judged = f"\n  judged by the {notifier} notifier" if notifier else ""
        print(f"refused: {code}: {reason}{f' ({detail})' if detail else ''}\n  {remedy}{judged}")
        return 1
    if not given["quiet"]:
        print(f"accepted (by the {notifier} notifier)" if notifier else "accepted")
    return 0


def _arguments(argv: "Sequence[str]") -> "dict[str, str] | None":
    """Return the value and the options, each empty if it is not there; None for any other argument."""
    found = dict.fromkeys(("value", "quiet", *_OPTIONS.values()), "")
    words = iter(argv)
    for word in words:
        if word == "--coredump":
            continue  # every value of NEEDS_NOTIFIER takes it
        if word in ("-q", "--quiet"):
            name, text = "quiet", word
        elif word in _OPTIONS:
            name, text = _OPTIONS[word], next(words, "")
        else:
            name, text = "value", word
        if not text or found[name] or (text.startswith("-") and name != "quiet"):
            return None
        found[name] = text
    return found


def _record(path: str) -> "dict[str, Any]":
    """Return a record as JSON.  Raises `ValueError` or `StopIteration` for what may not be one."""
    from _json import make_scanner  # the `json` package imports `re`, which takes longer than all else

    if not os.path.isfile(path):  # noqa: PTH113
        raise ValueError(path)  # a pipe can be read only once
    with open(path, "rb") as file:  # noqa: PTH123
        data = file.read(_LIMIT + 1)
    if len(data) > _LIMIT or b"\\u" in data:
        raise ValueError(path)
    text = data.decode().strip(" \t\r\n")
    record, end = make_scanner(_ScannerSettings())(text, 0)  # type: ignore[arg-type]
    if (
        end != len(text)
        or record["schema_version"] != 2
        or record.get("problems")
        or "hypervisor" in record["emulator"]
    ):
        raise ValueError(path)
    return record  # type: ignore[no-any-return]


def _judged(
    record: "Mapping[str, Any]", machine: str, notifier: str
) -> "tuple[Mapping[str, Any], str | None]":
    """Return the facts that decide, and the notifier that they are about; None if there is none.

    :raise LookupError: When the record does not have the machine type or the notifier.
    """
    machines = record["machines"]
    name = machine.partition(",")[0]  # options may follow, as for QEMU
    named = [m for m in machines if (name in (m["name"], *m["aliases"]) if machine else m["default"])]
    if not named and (machine or not machines):
        raise KeyError(machine)
    found = (named or machines)[0]
    facts = {**record["facts"], **found["facts"]}
    own = found["notifier"]
    if own is not None and own not in NOTIFIERS:
        raise ValueError(own)
    if notifier and notifier != own:
        (entry,) = (one for one in found["notifiers"] if one["model"] == notifier)
        facts |= entry["facts"]
    return facts, notifier or own


def _decision(facts: "Mapping[str, Any]") -> tuple[str, str] | None:
    """Return why no notifier can be relied on, as a code and its detail; None if one can be."""
    missing = {"answer": "unknown", "detail": "not asked"}
    required = [(name, answer, codes, facts.get(name, missing)) for name, answer, codes in REQUIRED]
    for _, answer, codes, fact in required:
        if not isinstance(fact["detail"], str):
            raise TypeError(fact)
        if fact["answer"] not in (answer, "unknown"):
            return codes[fact["answer"]], fact["detail"]
    for name, _, _, fact in required:
        if fact["answer"] == "unknown":
            return "probe-inconclusive", f"{name}: {fact['detail']}"
    return None
