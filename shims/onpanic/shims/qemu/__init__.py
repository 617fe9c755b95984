"""Old QEMUs: ``-device isa-pvpanic``, the name proposed in 2013, and getting rid of a builtin pvpanic."""
