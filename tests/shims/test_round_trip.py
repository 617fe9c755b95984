"""Translating any domain to libvirt and back changes nothing else in it, byte for byte."""

from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from onpanic.probe import CapabilityRecord, Fact
from onpanic.shims import RefusedError, from_libvirt, policy_of, to_libvirt
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.policy_xml import NAMESPACE, OLD_NAMESPACE

Recorded = Callable[..., CapabilityRecord]

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
SPACE = " \t\r\n"


# Documents


def one_of(*choices: str) -> st.SearchStrategy[str]:
    return st.sampled_from(choices)


SPACES = one_of("", "", " ", "\n", "\n  ", "\n\t", "\r\n", "\r\n  ", "\r", "\n\n  ", "  \n", "\t", " \n \n ")
INERT = one_of("<!-- c -->", "<!-- <on_panic>x</on_panic> -->", "<!--\n-->", "<?pi <on_crash/>?>", "text")
CDATA = one_of("<![CDATA[]]>", "<![CDATA[ ]]>")
ATTRIBUTES = one_of("", "", " a='1'", ' b="2"', " x:y='&gt;'", "\n c='>'", " b = \"/>\" a='1'")


@st.composite
def empty(draw: st.DrawFn, name: str, attributes: str = "") -> str:
    """An element without content, in all spellings."""
    space = draw(one_of("", " ", "\n"))
    content = draw(
        one_of(
            "",
            " ",
            "\n",
            "\r\n  \r\n",
            "<!-- e -->",
            "\n <!-- e -->\n",
            "<?e?>",
            "<![CDATA[]]>",
            "<![CDATA[ ]]>",
        )
    )
    if draw(st.booleans()):
        return f"<{name}{attributes}{space}/>"
    return f"<{name}{attributes}>{content}</{name}{space}>"


@st.composite
def element(draw: st.DrawFn, name: str, *contents: str, attributes: str = "") -> str:
    """An element that is empty or has one of these contents, with white space around it."""
    chosen = draw(st.sampled_from(["", *contents]))
    if not chosen:
        return draw(empty(name, attributes))
    junk = draw(st.one_of(st.just(""), INERT, CDATA))
    return f"<{name}{attributes}>{draw(SPACES)}{chosen}{junk}{draw(SPACES)}</{name}>"


@st.composite
def commandline(draw: st.DrawFn) -> str:
    prefix = draw(one_of("qemu:", "q:", ""))
    declared = f" {f'xmlns:{prefix[:-1]}' if prefix else 'xmlns'}='{QEMU}'"
    contents = (
        f"<{prefix}arg value='-x'/>",
        f"<{prefix}arg value='-global'/>\n <{prefix}arg value='pvpanic.ioport=0'/>",
    )
    return draw(element(f"{prefix}commandline", *contents, attributes=declared))


@st.composite
def value(draw: st.DrawFn, name: str, values: tuple[str, ...], attributes: tuple[str, ...]) -> str:
    """An element with a value, in all spellings."""
    word = draw(one_of(*values))
    word = draw(one_of(word, word, f" {word}\n", f"<!-- c -->{word}", f"<![CDATA[{word}]]>", f"\n\t{word} "))
    return f"<{name}{draw(one_of(*attributes))}>{word}</{name}{draw(one_of('', ' '))}>"


METADATA = ATTRIBUTES.flatmap(
    lambda a: element(
        "metadata",
        "<m:a xmlns:m='urn:m'> </m:a>",
        "<k xmlns='urn:k'><on_crash>q</on_crash></k>",
        attributes=a,
    )
)
DEVICES = ATTRIBUTES.flatmap(
    lambda a: element(
        "devices",
        "<emulator>/q</emulator>",
        "<disk>\n</disk>",
        "<panic/>",
        "<panic model='isa'></panic>",
        "<panic model='isa'><address type='isa' iobase='0x505'/></panic>",
        attributes=a,
    )
)
PASSIVE = value("on_panic", ("ignore", "default", ""), ("", " coredump='no'"))
ACTING = value(
    "on_panic",
    ("restart", "destroy", "preserve", "rename-restart", "pause"),
    ("", " coredump='yes'", ' coredump = "yes" ', " grace='30'", " coredump='no' grace = '0.5' "),
)
ON_CRASH = st.one_of(
    value("on_crash", ("destroy", "restart", "preserve", "rename-restart"), ("", " coredump='yes'")),
    value("on_crash", ("coredump-restart", "coredump-destroy", "preserve-running"), ("",)),
    empty("on_crash"),
)
OTHERS = one_of(
    "<uuid/>",
    "<features><acpi/></features>",
    "<os><type arch='x86_64' machine='pc'>hvm</type></os>",
    "<on_reboot>restart</on_reboot>",
    "<description>\n</description>",
)


@st.composite
def stored(draw: st.DrawFn) -> str:
    """Metadata with a policy that was stored, perhaps in the old namespace, and perhaps edited since."""
    prefix, namespace = draw(one_of("onpanic:", "p:", "")), draw(one_of(NAMESPACE, OLD_NAMESPACE))
    declared = f"{f'xmlns:{prefix[:-1]}' if prefix else 'xmlns'}='{namespace}'"
    wrote = draw(
        one_of(
            "",
            "on_crash='preserve'",
            "on_crash='restart' panic='isa' empty='devices'",
            "on_crash='restart' panic='isa' blank='metadata' open='devices'",
            "arguments='-global pvpanic.ioport=0' empty='commandline'",
        )
    )
    inner = f"<{prefix}on_panic>{draw(one_of('ignore', 'restart', 'pause'))}</{prefix}on_panic>"
    inner += f"<{prefix}wrote {wrote}/>" if wrote else ""
    spaces = [draw(SPACES) for _ in range(4)]
    return (
        f"<metadata>{spaces[0]}<{prefix}policy {declared}>{spaces[1]}{inner}{spaces[2]}</{prefix}policy>"
        f"{spaces[3]}</metadata>"
    )


def maybe(strategy: st.SearchStrategy[str], most: int = 1) -> st.SearchStrategy[list[str]]:
    return st.lists(strategy, max_size=most)


@st.composite
def domains(draw: st.DrawFn, policy: st.SearchStrategy[list[str]]) -> str:
    """A domain whose elements are in any order and in any layout, with line breaks of any kind."""
    parts = [
        *draw(policy),
        *draw(maybe(METADATA, 2)),
        *draw(maybe(DEVICES, 2)),
        *draw(maybe(commandline(), 2)),
        *draw(maybe(ON_CRASH)),
        *draw(maybe(OTHERS, 3)),
        *draw(maybe(INERT, 2)),
        "<name>g</name>",
    ]
    parts = draw(st.permutations(parts))
    line = draw(st.one_of(st.none(), SPACES))
    if line is None:
        body = "".join(draw(SPACES) + part for part in parts) + draw(SPACES)
    else:
        body = "".join(line + part for part in parts) + draw(one_of(line, "\n", "\r\n", ""))
    head = draw(
        one_of("", "<?xml version='1.0'?>\n", "<!-- <domain> -->\n", "<?xml version='1.0' encoding='UTF-8'?>")
    )
    tail = draw(one_of("", "\n", "\r\n<!-- e -->\n"))
    return f"{head}<domain type='kvm' xmlns:x='urn:x'{draw(one_of('', ' '))}>{body}</domain>{tail}"


STATED = domains(st.one_of(PASSIVE, ACTING).map(lambda element: [element]))
STORED = domains(st.tuples(stored()).map(list) | st.tuples(stored(), ACTING).map(list))
VERSIONS = one_of("1.2.1", "9.0.0", "9.1.0", "12.6.0")
RECORDS = st.sampled_from([("isa", "qemu-1.7.0"), ("pvpanic", "qemu-1.7.0"), ("isa", "qemu-1.5.3")])


def with_dma(record: CapabilityRecord) -> CapabilityRecord:
    """Return a record whose machine type can have the vmcoreinfo device."""
    (machine,) = record.machines
    facts = machine.facts | {"vmcoreinfo-attachable": Fact("yes", "introspected", "it has DMA")}
    return replace(record, machines=[replace(machine, facts=facts)])


def translated(xml: str, record: CapabilityRecord, libvirt: str) -> str:
    """Return the translated document; a document whose policy is refused is no example."""
    try:
        return to_libvirt(xml, record, libvirt=libvirt).xml
    except RefusedError:
        assume(False)
        raise


# What does not change


@settings(max_examples=settings().max_examples * 3 // 5)
@given(st.one_of(STATED, STORED), RECORDS)
def test_a_vmcoreinfo_that_was_added_stays_and_is_added_once(
    recorded: Recorded, xml: str, model_and_name: tuple[str, str]
) -> None:
    """A second time there and back changes no byte."""
    model, name = model_and_name
    record = with_dma(recorded(model=model, name=name))
    there = translated(xml, record, "9.1.0")
    added = to_libvirt(xml, record, libvirt="9.1.0", vmcoreinfo=True).xml
    assert (added.count("<vmcoreinfo"), there.count("<vmcoreinfo")) == (1, 0)
    assert to_libvirt(added, record, libvirt="9.1.0", vmcoreinfo=True).xml == added
    assert to_libvirt(added, record, libvirt="9.1.0").xml == added
    back = from_libvirt(added).xml
    for again in (True, False):
        assert from_libvirt(to_libvirt(back, record, libvirt="9.1.0", vmcoreinfo=again).xml).xml == back
    assert policy_of(back) == policy_of(from_libvirt(there).xml)


@settings(max_examples=settings().max_examples * 3 // 5)
@given(st.one_of(STATED, STORED), RECORDS, VERSIONS)
def test_a_second_translation_changes_nothing(
    recorded: Recorded, xml: str, model_and_name: tuple[str, str], version: str
) -> None:
    """In neither direction, and as bytes as well as text."""
    record = recorded(model=model_and_name[0], name=model_and_name[1])
    once = translated(xml, record, version)
    assert to_libvirt(once, record, libvirt=version).xml == once
    assert to_libvirt(xml.encode(), record, libvirt=version).xml == once.encode()
    back = from_libvirt(once)
    assert from_libvirt(back).xml == back.xml
    assert back.policy == policy_of(once) == policy_of(back.xml)
    assert from_libvirt(to_libvirt(back, record, libvirt=version)).xml == back.xml


@settings(max_examples=settings().max_examples * 3 // 5)
@given(STATED, RECORDS, VERSIONS)
def test_there_and_back_changes_the_policys_elements_only(
    recorded: Recorded, xml: str, model_and_name: tuple[str, str], version: str
) -> None:
    """That is <on_panic>, <on_crash>, and white space directly beside them; and a second time nothing."""
    record = recorded(model=model_and_name[0], name=model_and_name[1])
    back = from_libvirt(translated(xml, record, version)).xml
    assert same_outside_the_policy(xml, back)
    assert policy_of(back) == policy_of(xml)
    assert from_libvirt(to_libvirt(back, record, libvirt=version)).xml == back


@settings(max_examples=settings().max_examples * 3 // 5)
@given(domains(st.just([])), RECORDS, VERSIONS)
def test_the_policy_of_any_domain_can_be_translated(
    recorded: Recorded, xml: str, model_and_name: tuple[str, str], version: str
) -> None:
    """A domain that was never translated only gains an <on_panic>, and can then go there and back."""
    record = recorded(model=model_and_name[0], name=model_and_name[1])
    shown = from_libvirt(xml).xml
    assert same_outside_the_policy(xml, shown)
    assert from_libvirt(shown).xml == shown
    back = from_libvirt(translated(shown, record, version)).xml
    assert same_outside_the_policy(shown, back)
    assert policy_of(back) == policy_of(shown)


def same_outside_the_policy(first: str, second: str) -> bool:
    """Return whether two documents differ only in and directly beside <on_panic> and <on_crash>."""
    (text, spaces, places), (other_text, other_spaces, other_places) = outside(first), outside(second)
    everywhere = (set(spaces) | set(other_spaces)) - places - other_places
    return text == other_text and all(spaces[n] == other_spaces[n] for n in everywhere)


def outside(xml: str) -> tuple[str, defaultdict[int, str], set[int]]:
    """Split what is outside of <on_panic> and <on_crash>.

    :return: Its characters that are not white space; the white space before each of them by its number;
        before which of them one of the two elements is.
    """
    document = Document(xml)
    spans = [document.span(found) for found in document.root.iterchildren("on_panic", "on_crash")]
    text, spaces, places, position = "", defaultdict[int, str](str), set(), 0
    for start, _, _, end in [*sorted(spans), (len(xml), 0, 0, len(xml))]:
        for character in xml[position:start]:
            if character in SPACE:
                spaces[len(text)] += character
            else:
                text += character
        places.add(len(text))
        position = end
    return text, spaces, places


@pytest.mark.parametrize(
    "empty_element",
    [
        "<metadata/>",
        "<metadata />",
        "<metadata\n/>",
        "<metadata></metadata>",
        "<metadata></metadata >",
        "<metadata> </metadata>",
        "<metadata>\n  </metadata>",
        "<metadata>\r\n</metadata>",
        "<metadata a='1'></metadata>",
        "<metadata><!-- c --></metadata>",
        "<metadata><![CDATA[]]></metadata>",
        "<metadata/><metadata></metadata>",
        "<devices></devices>",
        "<devices/>",
        "<devices> </devices>",
        f"<commandline xmlns='{QEMU}'/>",
        f"<q:commandline xmlns:q='{QEMU}'></q:commandline>",
    ],
)
@pytest.mark.parametrize("line", ["", "\n  ", "\r\n\t"])
def test_what_was_empty_is_empty_in_the_same_way(empty_element: str, line: str, recorded: Recorded) -> None:
    parts = [
        "<domain type='kvm'>",
        "<name>g</name>",
        "<on_panic>restart</on_panic>",
        empty_element,
        "</domain>",
    ]
    xml = line.join(parts)
    there = to_libvirt(xml, recorded(model="pvpanic"), libvirt="9.0.0").xml
    assert "<onpanic:policy" in there
    assert "pvpanic-pci" in there
    assert from_libvirt(there).xml == xml


@pytest.mark.parametrize("version", ["9.0.0", "12.6.0"])
def test_what_libvirt_prints_is_not_translated_again(version: str, recorded: Recorded) -> None:
    """libvirt adds a default <on_crash>, and an address to the notifier: the domain stays as it is."""
    stated = "<domain type='kvm'>\n  <name>g</name>\n  <on_panic>{}</on_panic>\n</domain>\n"
    panic = "<panic model='isa'>\n      <address type='isa' iobase='0x505'/>\n    </panic>"
    there = to_libvirt(stated.format("restart"), recorded(), libvirt=version).xml
    printed = there.replace("<panic model='isa'/>", panic)
    assert printed != there
    assert to_libvirt(printed, recorded(), libvirt=version).xml == printed
    there = to_libvirt(stated.format("ignore"), recorded(), libvirt=version).xml
    printed = there.replace("</domain>", "  <on_crash>destroy</on_crash>\n</domain>")
    assert to_libvirt(printed, recorded(), libvirt=version).xml == printed
