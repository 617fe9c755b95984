"""Run with: pytest --onpanic-emulator /usr/bin/qemu-system-x86_64"""


def test_a_panicked_guest_can_be_restarted(onpanic_record):
    assert onpanic_record.accepts("restart", coredump=True)


def test_there_are_no_errors(onpanic_findings):
    assert [finding.tag for finding in onpanic_findings if finding.severity == "error"] == []
