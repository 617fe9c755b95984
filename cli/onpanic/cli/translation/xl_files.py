"""The option ``--format xl``: policies in configuration files of xl, Xen's own toolstack."""

import argparse
from xml.sax.saxutils import escape

from onpanic.cli.argument_files import naming, read_bounded, read_domain, read_record, write_result
from onpanic.cli.translation.translation_output import print_notes
from onpanic.core.errors import DocumentError, UsageError
from onpanic.probe.decision.policy import Policy

__all__ = ("add_format", "add_xl_options", "check_no_xl_options", "print_config_policy", "write_config")

_SOURCES = ("emulator", "command", "libvirt_version", "connect", "fleet", "expected", "document")


def add_format(group: argparse._ActionsContainer) -> None:
    """Add the option ``--format``."""
    group.add_argument(
        "--format",
        choices=("libvirt", "xl"),
        default="libvirt",
        help="xl: the file is a guest's configuration for xl (default: libvirt)",
    )


def add_xl_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--format``, and the options that state a policy for a configuration file."""
    group = parser.add_argument_group("xl's configuration files")
    add_format(group)
    group.add_argument("--policy", metavar="DOMAIN.xml", help="the policy is this domain's; - for stdin")
    group.add_argument("--on-crash", metavar="V", help="the policy's <on_crash>")
    group.add_argument(
        "--on-crash-coredump", action="store_true", help="with a dump of the guest's memory first"
    )


def check_no_xl_options(arguments: argparse.Namespace) -> None:
    """Check that no option for xl is given without ``--format xl``.

    :raise UsageError: When one is.
    """
    if arguments.policy or arguments.on_crash or arguments.on_crash_coredump:
        raise UsageError(
            "an option for xl's files without --format xl", "a domain's XML states its policy itself"
        )


def write_config(arguments: argparse.Namespace) -> int:
    """Write a configuration file with its policy, print the notes, and return 0.

    :param arguments: Those of onpanic to-libvirt.
    """
    from onpanic.shims.xl_config.crash_action import policy_of_config, with_policy

    if any(getattr(arguments, name) for name in _SOURCES):
        raise UsageError("xl's files depend on no emulator and no libvirt", "name a Xen's --record, or none")
    policy = _stated(arguments)
    record = None if arguments.record is None else read_record(arguments.record)
    data = _read(arguments.domain)
    with naming(arguments.domain):
        written, notes = with_policy(data, policy or policy_of_config(data)[0], record)
    write_result(arguments.output, written)
    print_notes(notes, arguments)
    return 0


def print_config_policy(arguments: argparse.Namespace) -> int:
    """Print the policy of a configuration file as a domain, print the notes, and return 0.

    :param arguments: Those of onpanic from-libvirt.
    """
    from onpanic.shims.domain_xml.policy_xml import policy_elements
    from onpanic.shims.xl_config.crash_action import name_of_config, policy_of_config

    if arguments.document:
        raise UsageError("--document has no meaning with --format xl", "leave it out")
    data = _read(arguments.domain)
    with naming(arguments.domain):
        policy, notes = policy_of_config(data)
    lines = [f"  <name>{escape(name_of_config(data))}</name>"]
    lines += [f"  {xml}" for xml in policy_elements(policy).values()]
    write_result(arguments.output, "\n".join(["<domain type='xen'>", *lines, "</domain>\n"]).encode())
    print_notes(notes, arguments)
    return 0


def _stated(arguments: argparse.Namespace) -> Policy | None:
    """Return the policy that the arguments state; None if they state none.

    :raise UsageError: When they state two.
    :raise DocumentError: When the domain that they name has none.
    """
    if arguments.on_crash_coredump and not arguments.on_crash:
        raise UsageError("--on-crash-coredump without --on-crash", "name the action: destroy or restart")
    if not arguments.policy:
        return (
            Policy("crash", on_crash=arguments.on_crash, on_crash_coredump=arguments.on_crash_coredump)
            if arguments.on_crash
            else None
        )
    if arguments.on_crash or (arguments.policy == "-" and arguments.domain == "-"):
        raise UsageError("two policies, or two files from standard input", "name one of each")
    from onpanic.shims.domain_xml.policy_xml import policy_of

    with naming(arguments.policy):
        policy = policy_of(read_domain(arguments.policy, None))
        if policy is None:
            raise DocumentError("the domain states no policy", "add <on_panic>crash</on_panic>")
    return policy


def _read(path: str) -> bytes:
    from onpanic.shims.xl_config.config_settings import FILE_LIMIT

    return read_bounded(path, FILE_LIMIT)
