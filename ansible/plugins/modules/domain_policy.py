#!/usr/bin/python
# Copyright (c) The onpanic developers
# MIT License (see LICENSE in the collection's root, or https://spdx.org/licenses/MIT.html)
"""Set the policy of a libvirt domain: what happens when its guest panics."""

from __future__ import annotations

DOCUMENTATION = r"""
module: domain_policy
short_description: Sets what happens when the guest of a libvirt domain panics
version_added: "1.0.0"
description:
  - Sets the policy of a domain. C(onpanic to-libvirt) translates it into what the host's libvirt and the
    domain's emulator can do, and stores it in the domain's metadata.
  - The module fails, and changes nothing, if they cannot keep the policy.
  - A running guest is not changed. It keeps its old policy until it is shut down and started again.
author:
  - The onpanic developers (@onpanic)
requirements:
  - onpanic on the host with libvirt's Python bindings; P(onpanic.onpanic.onpanic#role) installs both
  - C(virsh) on the host
attributes:
  check_mode:
    description: Can run in check mode, and returns whether the domain would change.
    support: full
  diff_mode:
    description: Returns what has changed in the domain's XML, or would change. Passwords are left out.
    support: full
options:
  name:
    description: The name or the UUID of the domain.
    type: str
    required: true
    aliases: [domain]
  state:
    description:
      - With V(present) the domain has the policy.
      - With V(absent) it has none, and what was written into it for one is removed. Its C(<on_crash>) is then
        the one that the policy had.
    type: str
    choices: [present, absent]
    default: present
  on_panic:
    description:
      - What happens when the guest panics.
      - Required if O(state=present).
    type: str
    choices: [default, ignore, restart, destroy, preserve, rename-restart, pause, crash]
  coredump:
    description: Whether the guest's memory is dumped first.
    type: bool
    default: false
  grace:
    description:
      - How many seconds a panicked guest has to help itself, from 0 to 86400; 0 means no grace period.
      - Without it, the setting of C(onpanic watch) applies.
    type: float
  on_crash:
    description:
      - What happens when QEMU itself has an internal error.
      - Without it, the domain keeps what it has.
    type: str
    choices: [destroy, restart, preserve, rename-restart]
  on_crash_coredump:
    description:
      - Whether the guest's memory is dumped first when QEMU has an internal error.
      - Used only with O(on_crash).
    type: bool
    default: false
  notifier:
    description:
      - The panic notifier that is added if the domain has none; V(pvpanic) is the device on PCI.
      - Without it, the best that works is added.
    type: str
    choices: [isa, pvpanic, hyperv, pseries, s390]
  with_vmcoreinfo:
    description:
      - Whether the vmcoreinfo device is switched on where the guest can have it, so that its last words can
        be read after a panic.
      - With V(false) the device is left as it is.
    type: bool
    default: false
  connect:
    description: The connection URI of libvirt. The domain's emulator must be on the host itself.
    type: str
    default: qemu:///system
  timeout:
    description:
      - Seconds that libvirt, and the domain's emulator, may take.
      - Without it, the default of C(onpanic to-libvirt) counts.
    type: float
  executable:
    description:
      - The command C(onpanic), by its name or its path.
      - A name is searched on the path of the user that Ansible logs in as, and in C(/opt/onpanic/bin) and
        C(/usr/local/bin).
    type: str
    default: onpanic
  virsh:
    description: The command C(virsh), by its name or its path.
    type: str
    default: virsh
seealso:
  - module: community.libvirt.virt
"""

EXAMPLES = r"""
- name: Dump and restart the guest when it panics, unless it reboots by itself within two minutes
  onpanic.onpanic.domain_policy:
    name: db1
    on_panic: restart
    coredump: true
    grace: 120
  register: policy

- name: Shut the guest down, so that it has the policy when it is started again
  ansible.builtin.command:
    argv: [virsh, --connect, qemu:///system, shutdown, db1]
  changed_when: true
  when: policy.restart_needed

- name: Remove the policy
  onpanic.onpanic.domain_policy:
    name: db1
    state: absent
"""

RETURN = r"""
policy:
  description: The policy that the domain has, or would have; none if it has none.
  returned: success
  type: dict
  sample: {"on_panic": "restart", "coredump": true, "grace": 120.0, "on_crash": "destroy"}
running:
  description: Whether the domain's guest runs.
  returned: success
  type: bool
restart_needed:
  description:
    - Whether the guest runs with another policy than the domain has now. It keeps it until it is shut down
      and started again; a reboot of the guest does not suffice.
    - In check mode, whether it would.
  returned: success
  type: bool
notes:
  description: What libvirt alone does not do for the policy, and side effects.
  returned: success
  type: list
  elements: dict
  contains:
    code:
      description: The note's code.
      type: str
    reason:
      description: What it says.
      type: str
    remedy:
      description: What to do about it.
      type: str
code:
  description: The code of the refusal; empty if something else has failed.
  returned: failure
  type: str
  sample: coredump-needs-action
reason:
  description: Why the policy cannot be kept, or what has failed.
  returned: failure
  type: str
remedy:
  description: What to do about it; empty if that is not known.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.onpanic.onpanic.plugins.module_utils.commands import (
    find_program,
    read_complaint,
    read_notes,
    run_program,
)
from ansible_collections.onpanic.onpanic.plugins.module_utils.domain_xml import (
    panic_parts,
    stored_policy,
    with_policy,
    without_passwords,
    without_policy,
)

_POLICY = ("on_panic", "coredump", "grace", "on_crash", "on_crash_coredump")


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True, "aliases": ["domain"]},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "on_panic": {
                "type": "str",
                "choices": [
                    "default",
                    "ignore",
                    "restart",
                    "destroy",
                    "preserve",
                    "rename-restart",
                    "pause",
                    "crash",
                ],
            },
            "coredump": {"type": "bool", "default": False},
            "grace": {"type": "float"},
            "on_crash": {"type": "str", "choices": ["destroy", "restart", "preserve", "rename-restart"]},
            "on_crash_coredump": {"type": "bool", "default": False},
            "notifier": {"type": "str", "choices": ["isa", "pvpanic", "hyperv", "pseries", "s390"]},
            "with_vmcoreinfo": {"type": "bool", "default": False},
            "connect": {"type": "str", "default": "qemu:///system"},
            "timeout": {"type": "float"},
            "executable": {"type": "str", "default": "onpanic"},
            "virsh": {"type": "str", "default": "virsh"},
        },
        required_if=[("state", "present", ["on_panic"])],
        supports_check_mode=True,
    )
    domain = Domain(module)
    before = domain.stored_xml()
    notes = []
    if module.params["state"] == "absent":
        wanted = domain.without_policy(before)
    else:
        wanted, notes = domain.with_policy(before)
    after = wanted
    if wanted != before and not module.check_mode:
        domain.define(wanted)
        after = domain.stored_xml()
    running = domain.running_xml()
    module.exit_json(
        changed=after != before,
        policy=stored_policy(after),
        notes=notes,
        running=running is not None,
        restart_needed=running is not None and panic_parts(running) != panic_parts(after),
        diff={
            "before": without_passwords(before),
            "after": without_passwords(after),
            "before_header": "%s (stored)" % domain.name,
            "after_header": "%s (stored)" % domain.name,
        },
    )


class Domain:
    """A domain of libvirt's, by virsh and onpanic.

    :param module: The module, which ends when a program fails.
    """

    def __init__(self, module):
        """Find the programs."""
        self.module = module
        self.name = module.params["name"]
        self._connect = module.params["connect"]
        self._virsh = self._program("virsh", "install libvirt's clients")
        self._onpanic = self._program("executable", "the role onpanic.onpanic.onpanic installs it")

    def stored_xml(self):
        """Return the domain that libvirt has stored, and starts next, with its passwords."""
        return self._ask("dumpxml", "--inactive", "--security-info", self.name)

    def running_xml(self):
        """Return the domain that the guest was started with; None if it does not run."""
        if self._ask("domstate", self.name).strip() == "shut off":
            return None
        return self._ask("dumpxml", self.name)

    def with_policy(self, xml):
        """Return the XML that the domain needs for the policy that is asked for, and onpanic's notes."""
        params = self.module.params
        policy = {name: params[name] for name in _POLICY}
        stored = stored_policy(xml)
        words = ["to-libvirt", "--connect", self._connect]
        words += [] if params["timeout"] is None else ["--timeout", "%g" % params["timeout"]]
        words += ["--notifier", params["notifier"]] if params["notifier"] else []
        words += ["--with-vmcoreinfo"] if params["with_vmcoreinfo"] else []
        # A policy that is stored already is translated as it is, which changes nothing if it need not
        text = xml if stored and _is_met(policy, stored) else with_policy(xml, policy)
        translated, stderr = self._translate(words, text)
        return translated, read_notes(stderr)

    def without_policy(self, xml):
        """Return the domain's XML without a policy."""
        if stored_policy(xml) is None:
            return xml
        return without_policy(self._translate(["from-libvirt", "-q"], xml)[0])

    def define(self, xml):
        """Let libvirt store the domain."""
        persistent = "Persistent: yes" in " ".join(self._ask("dominfo", self.name).split())
        if not persistent:
            self._fail(
                "",
                "the domain %s is transient: it is gone when its guest ends" % self.name,
                "define it, or start it with a policy",
            )
        self._ask("define", "/dev/stdin", text=xml)

    def _translate(self, words, xml):
        status, stdout, stderr = self._run([self._onpanic, *words, "-"], xml)
        if status != 0:
            code, reason, remedy = read_complaint(stderr)
            self._fail(code, reason or "onpanic ended with status %d" % status, remedy)
        return stdout, stderr

    def _ask(self, *words, **options):
        command = [self._virsh, "--quiet", "--connect", self._connect, *words]
        status, stdout, stderr = self._run(command, options.get("text"))
        if status != 0:
            said = " ".join(stderr.split()) or "virsh ended with status %d" % status
            self._fail("", "virsh %s: %s" % (words[0], said), "")
        return stdout

    def _run(self, command, text):
        try:
            return run_program(self.module, command, text)
        except OSError as error:
            self._fail("", "%s: %s" % (command[0], error.strerror or error), "")

    def _program(self, option, remedy):
        found = find_program(self.module, self.module.params[option])
        if found is None:
            self._fail("", "%s is not installed" % self.module.params[option], remedy)
        return found

    def _fail(self, code, reason, remedy):
        message = "; ".join(filter(None, [": ".join(filter(None, [code, reason])), remedy]))
        self.module.fail_json(msg=message, code=code, reason=reason, remedy=remedy)


def _is_met(policy, stored):
    """Return whether a stored policy is the one that is asked for; <on_crash> counts if it is asked for."""
    names = _POLICY if policy["on_crash"] else ("on_panic", "coredump", "grace")
    return all(policy[name] == stored[name] for name in names)


if __name__ == "__main__":
    main()
