#!/usr/bin/python
# Copyright (c) The onpanic developers
# MIT License (see LICENSE in the collection's root, or https://spdx.org/licenses/MIT.html)
"""Return the record of a host: its emulators, its libvirt, and which policies they can keep."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_facts
short_description: Returns what happens on a host when a guest panics
version_added: "1.0.0"
description:
  - Runs C(onpanic host) and returns the host's record, which names its emulators, its libvirt, its KVM, and
    the policies that they can keep.
  - Nothing on the host is changed. No guest is started or asked.
author:
  - The onpanic developers (@onpanic)
requirements:
  - onpanic on the host, which the role P(onpanic.onpanic.onpanic#role) installs
attributes:
  check_mode:
    description: Can run in check mode, and returns the same.
    support: full
  diff_mode:
    description: Returns what has changed, or would change.
    support: none
    details: Nothing is changed.
  facts:
    description: Returns facts about the host.
    support: full
options:
  executable:
    description:
      - The command C(onpanic), by its name or its path.
      - A name is searched on the path of the user that Ansible logs in as, and in C(/opt/onpanic/bin) and
        C(/usr/local/bin).
    type: str
    default: onpanic
  connect:
    description:
      - The connection URI of the host's libvirt.
      - Without it, C(onpanic host) asks the one that it finds.
    type: str
  machines:
    description:
      - Further machine types to ask about, names or aliases. An emulator may lack some of them.
      - The default machine type and the usual aliases, such as V(q35), are always asked about.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds that libvirt, and each machine type of each emulator, may take.
      - Without it, the default of C(onpanic host) counts.
    type: float
  name:
    description:
      - The name of the host in the record.
      - Without it, it is the name that the host itself has.
    type: str
  facts:
    description:
      - Whether the record is returned as a fact.
      - Without it, only RV(document) is returned, which takes less of the controller's time and memory if
        there are many hosts.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Ask the host
  onpanic.onpanic.host_facts:

- name: Ask a host whose libvirt has another socket
  onpanic.onpanic.host_facts:
    connect: qemu+unix:///session?socket=/run/vms/libvirt-sock
    executable: /usr/local/bin/onpanic

- name: Ask about a machine type that guests migrate with
  onpanic.onpanic.host_facts:
    machines: [pc-q35-7.2]

- name: Show which version of libvirt it has
  ansible.builtin.debug:
    msg: "{{ ansible_facts.onpanic.libvirt.version | default('none') }}"
"""

RETURN = r"""
ansible_facts:
  description: The facts.
  returned: success, and O(facts=true)
  type: dict
  contains:
    onpanic:
      description: The host's record.
      type: dict
      sample: {"schema_version": 1, "host": {"name": "alpha"}, "emulators": []}
document:
  description:
    - The record in one line of JSON, as C(onpanic fleet) reads it.
    - If the module fails, it is the document that stands for a host that did not answer, and says why.
  returned: always
  type: str
  sample: '{"schema_version":1,"host":{"name":"alpha"},"failure":"onpanic is not installed"}'
executable:
  description: The path of the command that printed the record.
  returned: success
  type: str
  sample: /usr/local/bin/onpanic
"""

import json
import platform
from datetime import datetime, timezone

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.onpanic.onpanic.plugins.module_utils.commands import (
    find_program,
    read_complaint,
    run_program,
)


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "executable": {"type": "str", "default": "onpanic"},
            "connect": {"type": "str"},
            "machines": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float"},
            "name": {"type": "str"},
            "facts": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    program = find_program(module, module.params["executable"])
    if program is None:
        fail(module, "%s is not installed" % module.params["executable"], "the role onpanic installs it")
    words = [program, "host", "--format", "json"]
    if name:
        words += ["--name", name]
    if module.params["timeout"] is not None:
        words += ["--timeout", "%g" % module.params["timeout"]]
    if module.params["connect"]:
        words += ["--connect", module.params["connect"]]
    for machine in module.params["machines"]:
        words += ["--machine", machine]
    try:
        status, stdout, stderr = run_program(module, words)
    except OSError as error:
        fail(module, "%s: %s" % (program, error.strerror or error), "")
    if status != 0:
        reason, remedy = read_complaint(stderr)[1:]
        fail(module, reason or "%s ended with status %d" % (program, status), remedy)
    document = stdout.strip()
    try:
        record = json.loads(document)
    except ValueError as error:
        fail(module, "%s did not print a record: %s" % (program, error), "")
    facts = {"ansible_facts": {"onpanic": record}} if module.params["facts"] else {}
    module.exit_json(changed=False, document=document, executable=program, **facts)


def fail(module, reason, remedy):
    """End the module with the document that stands for the host."""
    failed = {
        "schema_version": 1,
        "host": {"name": module.params["name"] or platform.node()},
        "failure": reason,
        "at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    document = json.dumps(failed, separators=(",", ":"))
    module.fail_json(msg="; ".join(filter(None, [reason, remedy])), document=document)


if __name__ == "__main__":
    main()
