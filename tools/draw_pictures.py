"""Draw the pictures of docs/pictures: `make pictures`.

The session in a terminal is drawn from its recording.  ``--record`` replaces that first, and needs a QEMU:
`make recording`.
"""

import argparse
from pathlib import Path

from pictures.flow_picture import flow_picture
from pictures.policy_picture import policy_picture
from pictures.session_picture import CAST, session_picture
from pictures.terminal_session import record_session

PICTURES = Path(__file__).parent.parent / "docs/pictures"
#: The pictures, and what draws them.
DRAWN = {"flow.svg": flow_picture, "policies.svg": policy_picture, "session.svg": session_picture}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="record the session again first")
    if parser.parse_args().record:
        record_session().save(CAST)
    for name, draw in DRAWN.items():
        (PICTURES / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
