"""What capability records are made from.

`subjects`         an emulator, a recording, or a file of libvirt's replies
`debian_suites`    emulators of other Debian suites, unpacked beside the host's
`debian_libvirts`  a suite's libvirt, run with its own emulators
`daemon_sandbox`   how bubblewrap runs it
`apt_sources`      the host's apt sources, and those for another suite
`host_tools`       the programs that download and unpack packages
`libvirt_replies`  QMP replies that libvirt's tests have recorded
"""
