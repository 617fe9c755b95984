"""How long Ansible takes for the verdict over 100 hosts, over ssh.  Part of `make bench`.

The hosts are 100 names of three sshds, each in the root of a Debian suite.  Their records are read from a
file, as if onpanic had asked the emulators: 100 hosts would share the processors of this one for that.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

__all__ = ("fleet",)

ROOT = Path(__file__).parent.parent
HOSTS = 100
FORKS = 20
ROUNDS = 3
AIM = 60  # seconds

# Prints the record under the name that is asked for; everything else is onpanic's business
PLAYED = """\
#!/bin/sh
[ "$1" = host ] || exec /opt/onpanic/bin/onpanic "$@"
while [ $# -gt 0 ]; do [ "$1" != --name ] || name=$2; shift; done
read -r record < /srv/record
printf '%s"name":"%s"%s\\n' "${record%%'"name":"'$HOST'"'*}" "$name" "${record#*'"name":"'$HOST'"'}"
"""

Show = Callable[[str, float, str, str], None]


def fleet(show: Show) -> None:
    """Show the time from the inventory to the verdict."""
    sys.path.insert(0, str(ROOT))  # the tests know how to run hosts
    from tests.running import ansible_programs as programs
    from tests.running.emulators import HOSTS as SUITES
    from tests.running.emulators import suite_root
    from tests.running.ssh_hosts import run_host

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onpanic-")))
        folder.chmod(0o755)
        try:
            ansible = programs.Ansible.with_collection(programs.install_ansible(folder), folder)
            wheel = programs.build_wheels(folder / "wheels")
        except programs.AnsibleMissingError as error:
            print(f"100 hosts: {error}")
            return
        hosts = {
            suite: stack.enter_context(
                run_host(suite, suite_root(suite), folder / suite, {wheel.parent: "/wheels"})
            )
            for suite in SUITES
        }
        real = [f"{name} {programs.login(host)} onpanic_connect={host.uri}" for name, host in hosts.items()]
        inventory = ansible.inventory(["[hypervisors]", *real])
        install = ROOT / "tests/ansible/playbooks/install.yml"
        ansible.play("-i", inventory, install, "-e", f"onpanic_wheel={wheel}")
        ansible.play("-i", inventory, "onpanic.onpanic.verdict", "-e", f"onpanic_keep={folder}/kept")
        for name, host in hosts.items():
            record = (folder / f"kept/{name}.json").read_text("utf-8")
            (host.folder / "record").write_text(record, "utf-8")
            (host.folder / "onpanic").write_text(PLAYED.replace("'$HOST'", name), "utf-8")
            (host.folder / "onpanic").chmod(0o755)
        logins = [programs.login(host) for host in hosts.values()]
        many = [f"host{number} {logins[number % len(logins)]}" for number in range(HOSTS)]
        inventory = ansible.inventory(["[hypervisors]", *many])
        took = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            words = (
                "onpanic.onpanic.verdict",
                "--forks",
                str(FORKS),
                "-e",
                "onpanic_executable=/srv/onpanic",
            )
            printed = ansible.play("-i", inventory, *words)
            took.append(time.perf_counter() - began)
            assert f'"{HOSTS} hosts, ' in printed, printed
    detail = f"seconds for {HOSTS} hosts over ssh, which share this machine; {FORKS} at a time"
    show(f"Ansible, {HOSTS} hosts / 1 s", statistics.median(took), f"<= {AIM}", detail)


if __name__ == "__main__":
    fleet(lambda name, value, aim, detail: print(f"{name}: {value:.1f} ({aim}; {detail})"))
