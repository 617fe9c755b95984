"""What every other package builds on: errors, untrusted text, files, and access to libvirt.

Nothing here imports another package of onpanic.
"""
