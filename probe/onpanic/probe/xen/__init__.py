"""A Xen host as a source of a record: its toolstack is asked, ``xl`` in the dom0 or libvirt anywhere.

The answers become an `XenConversation`, and that becomes a `CapabilityRecord`, as with QEMU.
"""
