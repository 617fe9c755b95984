"""The module ``libvirt`` of a command that a test runs, see `tests.played.command`."""

import importlib
import sys
from pathlib import Path

_TESTS = str(Path(__file__).resolve().parents[2])

sys.path.append(_TESTS)
try:
    _modules = importlib.import_module("played.command").played_by_environment().modules()
finally:
    sys.path.remove(_TESTS)
globals().update(
    {name: value for name, value in vars(_modules["libvirt"]).items() if not name.startswith("__")}
)
