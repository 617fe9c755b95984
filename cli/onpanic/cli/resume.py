"""Continue a guest that panicked.

If the emulator refuses to continue it, only a reset gets the guest out of that state.  A reset
loses the guest's state, so it must be allowed.

Exit status: 0 if the guest was continued and runs; 1 if not.
"""

import argparse
from functools import partial

from onpanic.cli.guests import add_guest, with_guest
from onpanic.cli.output import complain, print_json

_DONE = {
    "cont": "continued",
    "reset": "reset and started: the guest's state is lost",
    "nothing": "nothing to do",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_guest(parser)
    parser.add_argument("--allow-reset", action="store_true", help="reset the guest if nothing else helps")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="form of the output (default: text)"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on success")


def run(arguments: argparse.Namespace) -> int:
    """Continue the guest, print what was done, and return 0, or 1 if it does not run afterwards."""
    from onpanic.shims.guests.resume import resume_domain, resume_monitor

    allow = arguments.allow_reset
    done = with_guest(
        arguments,
        partial(resume_monitor, allow_reset=allow),
        partial(resume_domain, allow_reset=allow, timeout=arguments.timeout),
    )
    if arguments.format == "json":
        import msgspec

        print_json(msgspec.json.encode(done))
    elif not arguments.quiet:
        print(f"{_DONE[done.how]}: was {done.before}, is {done.after}")
    if not done.after.startswith("running"):
        complain(f"the guest does not run: it is {done.after}", "onpanic status explains that state")
        return 1
    return 0
