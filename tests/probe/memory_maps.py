"""What QEMU answers to ``info mtree`` and ``info mtree -f``: parts of recorded answers."""

# ruff: noqa: E501  QEMU's lines are longer

#: QEMU 10.0, aarch64 ``virt``.
VIRT = """\
address-space: I/O
  0000000000000000-000000000000ffff (prio 0, i/o): io

address-space: cpu-memory-0
address-space: memory
  0000000000000000-ffffffffffffffff (prio 0, i/o): system
    0000000000000000-0000000003ffffff (prio 0, romd): virt.flash0
    0000000009030000-0000000009030fff (prio 0, i/o): pl061
    0000000010000000-000000003efeffff (prio 0, i/o): alias pcie-mmio @gpex_mmio_window 0000000010000000-000000003efeffff
    000000003eff0000-000000003effffff (prio 0, i/o): alias pcie-pio @gpex_ioport_window 0000000000000000-000000000000ffff
    0000000040000000-0000000047ffffff (prio 0, ram): mach-virt.ram
    0000004010000000-000000401fffffff (prio 0, i/o): alias pcie-ecam @pcie-mmcfg-mmio 0000000000000000-000000000fffffff
    0000008000000000-000000ffffffffff (prio 0, i/o): alias pcie-mmio-high @gpex_mmio_window 0000008000000000-000000ffffffffff

address-space: pvpanic-pci
  0000000000000000-ffffffffffffffff (prio 0, i/o): bus master container
    0000000000000000-ffffffffffffffff (prio 0, i/o): alias bus master @system 0000000000000000-ffffffffffffffff [disabled]

memory-region: pcie-mmcfg-mmio
  0000000000000000-000000000fffffff (prio 0, i/o): pcie-mmcfg-mmio
"""

#: QEMU 10.0, mips64el ``fuloong2e``.
FULOONG = """\
address-space: cpu-memory-0
address-space: memory
  0000000000000000-ffffffffffffffff (prio 0, i/o): system
    0000000000000000-000000000fffffff (prio 0, ram): fuloong2e.ram
    0000000010000000-0000000013ffffff (prio 0, i/o): alias pci.lomem0 @pci.mem 0000000000000000-0000000003ffffff
    0000000014000000-0000000017ffffff (prio 0, i/o): alias pci.lomem1 @pci.mem 0000000004000000-0000000007ffffff
    000000001fd00000-000000001fd0ffff (prio 0, i/o): alias isa_mmio @io 0000000000000000-000000000000ffff
    000000001fe00000-000000001fe000ff (prio 0, i/o): north-bridge-pci-config
    000000001fe00100-000000001fe0016f (prio 0, i/o): north-bridge-register
    000000001fe80000-000000001fefffff (prio 0, i/o): south-bridge-pci-config
"""

#: QEMU 10.0, ppc ``g3beige``.
G3BEIGE = """\
address-space: memory
  0000000000000000-ffffffffffffffff (prio 0, i/o): system
    0000000080000000-00000000fdffffff (prio 0, i/o): alias pci-hole @pci-mmio 0000000080000000-00000000fdffffff
    00000000fe000000-00000000fe1fffff (prio 0, i/o): pci-isa-mmio
    00000000fec00000-00000000fec00fff (prio 0, i/o): pci-conf-idx
    00000000fee00000-00000000fee00fff (prio 0, i/o): pci-data-idx

address-space: I/O
  0000000000000000-000000000000ffff (prio 0, i/o): io
"""

#: QEMU 11.1, hppa ``C3700``.
C3700 = """\
address-space: memory
  0000000000000000-ffffffffffffffff (prio 0, container): system
    0000000000000000-00000000efffffff (prio -1, ram): alias memory0 @hppa.ram 0000000000000000-00000000efffffff
    fffffffffed00000-fffffffffed3ffff (prio 0, i/o): astro
      fffffffffed30000-fffffffffed31fff (prio 0, i/o): elroy0
        fffffffffed30040-fffffffffed30047 (prio 0, i/o): pci-conf-idx
        fffffffffed30048-fffffffffed3004f (prio 0, i/o): pci-conf-data
      fffffffffed32000-fffffffffed33fff (prio 0, i/o): elroy1
        fffffffffed32040-fffffffffed32047 (prio 0, i/o): pci-conf-idx
        fffffffffed32048-fffffffffed3204f (prio 0, i/o): pci-conf-data
    fffffffffee00000-fffffffffee01fff (prio 0, i/o): pci-isa-mmio
"""

#: QEMU 10.0, alpha ``clipper``; sh4 ``r2d``; mips ``malta``; ppc64 ``pseries``; arm ``mcimx7d-sabre``; and
#: QEMU 11.1, arm ``ast2600-evb``: only what is needed for configuration space.
CLIPPER, R2D, MALTA, PSERIES, SABRE, AST2600 = (
    f"""\
address-space: cpu-memory-0
address-space: memory
  0000000000000000-ffffffffffffffff (prio 0, i/o): system
    {line}
"""
    for line in (
        "00000801fe000000-00000801feffffff (prio 0, i/o): pci0-conf",
        "00000000fe200000-00000000fe200223 (prio 0, i/o): sh_pci",
        "0000000014000000-0000000014000fff (prio 0, i/o): gt64120-isd",
        "0000200080000000-00002000ffffffff (prio 0, i/o): alias pci@800000020000000.mmio32-alias @pci@800000020000000.mmio 0000000080000000-00000000ffffffff",
        "0000000033800000-0000000033800fff (prio 0, i/o): pcie.reg",
        "000000001e770000-000000001e7700ff (prio 0, i/o): aspeed.pcie-cfg.regs.0",
    )
)

#: QEMU 7.2, ``q35`` with both devices: the ISA device is not at a memory address, and SMM is another view.
FLAT_Q35 = """\
FlatView #0
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): pc.ram KVM
  00000000000a0000-00000000000bffff (prio 1, i/o): pci @00000000000a0000
  00000000e0000000-00000000e0000001 (prio 1, i/o): pvpanic

FlatView #1
 AS "I/O", root: io
 Root memory region: io
  0000000000000505-0000000000000505 (prio 0, i/o): pvpanic

FlatView #2
 AS "cpu-smm-0", root: memory
 Root memory region: memory
  00000000e0000000-00000000e0000001 (prio 1, i/o): pvpanic

FlatView #3
 AS "mch", root: bus master container
 AS "pvpanic-pci", root: bus master container
 Root memory region: (none)
  No rendered FlatView

"""
