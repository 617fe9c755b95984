"""Control groups of tests, for a systemd that must have them to itself.  The host need not have cgroup2."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ("control_group", "may_make_control_groups")

# In a mount namespace: a process or a folder may need a moment to end
_REMOVE = """
mount -t cgroup2 cgroup2 "$0" || exit
[ -d "$0/$1" ] || exit 0
echo 1 >"$0/$1/cgroup.kill"
for attempt in $(seq 100); do
    find "$0/$1" -depth -type d -exec rmdir {} + 2>/dev/null
    [ -d "$0/$1" ] || exit 0
    sleep 0.1
done
ls -R "$0/$1" >&2
exit 1
"""

# In a mount namespace, too
_TRY = """
mount -t cgroup2 cgroup2 "$0"
mkdir "$0/$1"
rmdir "$0/$1"
"""


def may_make_control_groups() -> bool:
    """Return whether control groups can be made here: only root may, and not in every container."""
    with tempfile.TemporaryDirectory(prefix="onpanic-") as scratch:
        words = ("unshare", "--mount", "sh", "-euc", _TRY, scratch, Path(scratch).name)
        return subprocess.run(words, timeout=60, capture_output=True, check=False).returncode == 0


@contextmanager
def control_group() -> Iterator[str]:
    """Make a control group; yield shell commands by which a shell in a mount namespace of its own enters it.

    See `may_make_control_groups`.  What is in the group at the end of the context is killed.

    :raise CalledProcessError: When it cannot be removed.
    """
    with tempfile.TemporaryDirectory(prefix="onpanic-") as scratch:
        mount, name = Path(scratch, "groups"), Path(scratch).name
        mount.mkdir()
        try:
            yield (
                f"mount -t cgroup2 cgroup2 {mount}; mkdir -p {mount}/{name}; "
                f"echo 0 >{mount}/{name}/cgroup.procs; umount {mount}; "
            )
        finally:
            words = ("unshare", "--mount", "sh", "-uc", _REMOVE, str(mount), name)
            subprocess.run(words, check=True, timeout=60, capture_output=True)
