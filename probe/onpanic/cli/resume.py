"""Continue a guest that panicked.

Where the emulator refuses to, only a reset gets the guest out of that state.  It loses what
the guest was, so it has to be allowed.  Exit status 1: the guest is not continued.
"""

import argparse
from functools import partial

from onpanic.cli import complain
from onpanic.cli.guests import add_guest, with_guest

HELP = "continue a panicked guest"

_DONE = {
    "cont": "continued",
    "reset": "reset and started: what the guest was is lost",
    "nothing": "nothing to do",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_guest(parser)
    parser.add_argument("--allow-reset", action="store_true", help="reset it where nothing else helps")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on success")


def run(arguments: argparse.Namespace) -> int:
    """Continue it, print what was done, and return 0, or 1 if it does not run after all."""
    from onpanic.shims.resume import resume_domain, resume_monitor

    allow = arguments.allow_reset
    done = with_guest(
        arguments, partial(resume_monitor, allow_reset=allow), partial(resume_domain, allow_reset=allow)
    )
    if arguments.format == "json":
        import msgspec

        from onpanic.cli import print_json

        print_json(msgspec.json.encode(done))
    elif not arguments.quiet:
        print(f"{_DONE[done.how]}: was {done.before}, is {done.after}")
    if not done.after.startswith("running"):
        complain(f"the guest does not run: it is {done.after}", "onpanic status says what that means")
        return 1
    return 0
