"""What bash, zsh and fish offer for the beginning of a command line, from the files that are installed."""

import os
import pty
import shlex
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ("SHELLS", "Offer")

_SHARE = Path(__file__).parents[2] / "cli/share"
_TIMEOUT = 50  # seconds

Offer = Callable[[Sequence[str], Path], set[str]]

_BASH = """
source {file}
compopt() {{ :; }}  # which works on a terminal only
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_onpanic onpanic
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

# The functions that zsh defines for completion run in its line editor only.  What they add to the list of
# matches is written to a file, and the line is not changed.
_ZSH = """
fpath=({folder} $fpath)
autoload -Uz compinit
compinit -u -D
compadd() {{
  local -a found
  if [[ "${{@[1,(i)(-|--)]}} " != *\\ -[OAD]\\ * ]]; then
    builtin compadd -O found "$@"
    print -rl -- $found >> {folder}/found
  fi
  builtin compadd "$@"
}}
capture() {{
  _main_complete
  compstate[insert]= compstate[list]=
}}
zle -C capture complete-word capture
complete_and_exit() {{
  zle capture
  exit
}}
zle -N complete_and_exit
begin() {{
  BUFFER={line}
  CURSOR=$#BUFFER
  zle complete_and_exit
}}
zle -N zle-line-init begin
"""


def bash(words: Sequence[str], folder: Path) -> set[str]:
    """Return what bash offers for the last word, which it parts at an equals sign."""
    parted = [part for word in words for part in _parted(word)]
    file = _SHARE / "bash-completion/completions/onpanic"
    script = _BASH.format(file=shlex.quote(str(file)), words=shlex.join(parted))
    return _lines(["bash", "--norc", "-c", script], folder)


def fish(words: Sequence[str], folder: Path) -> set[str]:
    """Return what fish offers for the last word."""
    file = _SHARE / "fish/vendor_completions.d/onpanic.fish"
    script = f"source {shlex.quote(str(file))}; complete -C {shlex.quote(' '.join(words))}"
    found = _lines(["fish", "--no-config", "-c", script], folder, HOME=str(folder))
    return {line.partition("\t")[0].rpartition("=")[2] for line in found}


def zsh(words: Sequence[str], folder: Path) -> set[str]:
    """Return what zsh offers for the last word, on a terminal, without which it completes nothing."""
    home = folder / ".zsh"
    home.mkdir()
    file = _SHARE / "zsh/site-functions/_onpanic"
    (home / file.name).write_bytes(file.read_bytes())
    line = shlex.quote(" ".join(words))
    (home / ".zshrc").write_text(_ZSH.format(folder=shlex.quote(str(home)), line=line), encoding="utf-8")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "ZDOTDIR": str(home), "TERM": "vt100"}
    with subprocess.Popen(
        ["zsh", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env=environment,
        start_new_session=True,
    ) as shell:
        os.close(theirs)
        reader = threading.Thread(target=_drain, args=(ours,), daemon=True)
        reader.start()
        try:
            shell.wait(_TIMEOUT)
        finally:
            shell.kill()
    reader.join(_TIMEOUT)
    os.close(ours)
    found = home / "found"
    return set(found.read_text(encoding="utf-8").split("\n")) - {""} if found.exists() else set()


SHELLS: dict[str, Offer] = {"bash": bash, "fish": fish, "zsh": zsh}


def _parted(word: str) -> list[str]:
    option, sign, value = word.partition("=")
    return [option, sign, value] if sign and value else [option, sign] if sign else [word]


def _lines(command: Sequence[str], folder: Path, **environment: str) -> set[str]:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.splitlines()) - {""}


def _drain(terminal: int) -> None:
    """Read what a shell writes to its terminal, which would otherwise wait."""
    while True:
        try:
            if not os.read(terminal, 65536):
                return
        except OSError:  # the shell has ended
            return
