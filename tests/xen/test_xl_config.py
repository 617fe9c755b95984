"""xl reads its configuration files as onpanic does, and what onpanic writes."""

import json
from itertools import product
from pathlib import Path

import pytest

from onpanic.cli import main
from onpanic.core.errors import DocumentError
from onpanic.probe.decision.policy import Policy
from onpanic.probe.facts.xen_questions import ON_CRASH_WORDS
from onpanic.shims.xl_config.config_settings import settings_of
from onpanic.shims.xl_config.crash_action import policy_of_config, with_policy

from ..running.xen_lab import XenLab

HEAD = b'name="guest"\nkernel="/dev/null"\nmemory=32\n'

#: Parts of files, which xl reads or refuses.
FILES = [
    b"",
    *(f'on_crash="{word}"\n'.encode() for word in (*ON_CRASH_WORDS, "ignore", "preserve-running", "")),
    b"type='pvh'\non_crash='preserve' # x\n",
    b"on_crash='preserve' # no line end",
    b"on_crash='preserve'",
    b"on_crash = 'preserve';on_crash=\"restart\"",
    b"on_crash='pre'\non_crash+='serve'\n",
    b"on_crash+='preserve'\n",
    b"on_crash='preserve'\non_crash=['a']\non_crash='restart'\n",
    b"on_crash='a'\non_crash+=['b']\n",
    b"on_crash=preserve\n",
    b"on_crash\n='preserve'\n",
    b"on_crash=\n'preserve'\n",
    b"on_crash\t=\t'preserve'\t;\t;\n",
    b"on_crash='preserve'\r\n",
    b"On_crash='preserve'\n",
    b"x='a' on_crash='preserve'\n",
    b"x.y='on_crash=\"restart\"'\n",
    b"x-y='a'\n",
    b"x=-1\n",
    b"x='a\\'b'\non_crash='preserve'\n",
    b"x='a\\q'\n",
    b"x='a\\n\\t\\\\'\n",
    b"x='a\\x41'\n",
    b"x=['a','b',]\n",
    b"x=[\n'a' # ]\n,\n'b'\n]\non_crash='preserve'\n",
    b"x=[,]\n",
    b"x=[1;2]\n",
    b"x=[['a'],'b']\non_crash='preserve'\n",
    b"x=['a'\n",
    b"x='\xc3\xa9\xff'\non_crash='preserve'\n",
    b";;;\n#\n\n",
]


def read_by_xl(xen: XenLab, files: list[bytes], name: str) -> list[str | None]:
    """Return the crash action that xl reads from each file, as it spells it; None if it refuses the file."""
    for number, data in enumerate(files):
        path = xen.put(f"{name}{number}.cfg", HEAD + data)
    folder = path.rpartition("/")[0]
    out = f"/tmp/{name}$i"
    line = f"xl -N create {folder}/{name}$i.cfg > {out} 2>/dev/null; echo $?; cat {out}; echo ---"
    done = xen.run(f"for i in $(seq 0 {len(files) - 1}); do {line}; done", seconds=300)
    answers = done.stdout.split("---\n")[: len(files)]
    words = []
    for answer in answers:
        status, _, text = answer.partition("\n")
        found = text.partition("{")[2]
        words.append(
            json.loads("{" + found).get("on_crash", "destroy").replace("_", "-") if status == "0" else None
        )
    return [word and {"restart-rename": "rename-restart"}.get(word, word) for word in words]


def read_here(data: bytes) -> str | None:
    try:
        return policy_of_config(HEAD + data)[0].crash_action or "destroy"
    except DocumentError:
        return None


def test_xl_reads_what_is_read_here(xen: XenLab) -> None:
    """A file that xl refuses is an error, and no other one; the crash action is the same."""
    said = read_by_xl(xen, FILES, "read")
    assert [(data, word) for data, word in zip(FILES, said, strict=True)] == [
        (data, read_here(data)) for data in FILES
    ]


def test_xl_reads_what_is_written(xen: XenLab) -> None:
    """It is the policy's, whatever the file has had before."""
    readable = []
    for data in FILES:
        try:
            settings_of(HEAD + data)
        except DocumentError:
            continue
        readable.append(HEAD + data)
    written, expected = [], []
    for number, (data, word) in enumerate(product(readable, ON_CRASH_WORDS)):
        if number % 17 == 0:  # every word, of several files
            action = word.removeprefix("coredump-")
            policy = Policy("crash", on_crash=action, on_crash_coredump=action != word)
            written.append(with_policy(data, policy)[0])
            expected.append(word)
    assert set(expected) == set(ON_CRASH_WORDS)
    assert read_by_xl(xen, [data.removeprefix(HEAD) for data in written], "written") == expected


@pytest.mark.parametrize("word", ["preserve", "rename-restart"])
def test_a_guest_of_xl(
    word: str, xen: XenLab, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """xl does what the command has written."""
    path = tmp_path / "guest.cfg"
    path.write_bytes(f'name="xl-{word}"\nkernel="/tmp/xl.elf"\nmemory=32\non_crash="destroy"\n'.encode())
    assert main(["to-libvirt", "--format", "xl", "--on-crash", word, str(path)]) == 0
    config = xen.put(f"{word}.cfg", capsysbinary.readouterr().out)
    # it runs when its next kernel is in place
    create = f"cp {xen.guests}/pv-crash.elf /tmp/xl.elf && xl create -p {config} > /dev/null 2>&1"
    wait = f"cp {xen.guests}/pv-wait.elf /tmp/new.elf && mv /tmp/new.elf /tmp/xl.elf"
    done = xen.run(f"{create} && {wait} && xl unpause xl-{word}", seconds=120)
    assert done.returncode == 0, done.stderr
    count = 1 if word == "preserve" else 2
    listed = f"xl list | grep '^xl-{word}' > /tmp/listed"
    found = f"grep -q ' ---sc-' /tmp/listed && [ $(wc -l < /tmp/listed) = {count} ]"
    done = xen.run(f"until {listed}; {found}; do sleep 0.5; done; xl list", seconds=120)
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()[2:] if line.startswith(f"xl-{word}")]
    if word == "preserve":
        assert names == ["xl-preserve"]
    else:
        assert len(names) == 2
        assert names[0].startswith("xl-rename-restart-")  # the one that has crashed
        assert names[1] == "xl-rename-restart"
