# Copyright (c) The onpanic developers
# MIT License (see LICENSE in the collection's root, or https://spdx.org/licenses/MIT.html)
"""The commands that the modules run, and what onpanic prints on stderr."""

from __future__ import annotations

import re

#: Where the role installs onpanic; searched after the path of the user that Ansible logs in as.
FOLDERS = ["/opt/onpanic/bin", "/usr/local/bin"]

_CODE = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*): (.*)")


def find_program(module, name):
    """Return the path of a program, or None."""
    return module.get_bin_path(name, opt_dirs=FOLDERS)


def run_program(module, words, text=None):
    """Run a program in English with a text as its standard input; return its status, stdout and stderr."""
    return module.run_command(
        words,
        data=text,
        binary_data=True,
        environ_update={"LC_ALL": "C", "LANGUAGE": "C"},
        handle_exceptions=False,
    )


def read_complaint(stderr):
    """Return what onpanic says that failed: code (empty if it has none), reason, remedy."""
    reason, remedy = "", ""
    for line in stderr.splitlines():
        if line.startswith("onpanic: hint: "):
            remedy = line[len("onpanic: hint: ") :]
        elif line.startswith("onpanic: ") and not line.startswith("onpanic: note: "):
            reason = line[len("onpanic: ") :]
    if not reason:  # it was not onpanic that printed this
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        return "", " / ".join(lines[-2:]), remedy
    if reason.startswith("refused: "):
        found = _CODE.match(reason[len("refused: ") :])
        if found:
            return found.group(1), found.group(2), remedy
    return "", reason, remedy


def read_notes(stderr):
    """Return the notes that onpanic prints: dictionaries with code, reason and remedy."""
    notes = []
    for line in stderr.splitlines():
        if line.startswith("onpanic: note:   "):
            if notes:
                notes[-1]["remedy"] = line[len("onpanic: note:   ") :]
        elif line.startswith("onpanic: note: "):
            found = _CODE.match(line[len("onpanic: note: ") :])
            if found:
                notes.append({"code": found.group(1), "reason": found.group(2), "remedy": ""})
    return notes
