"""Write the JSON Schemas that ship with the packages: `make schema`."""

from pathlib import Path

import msgspec

from onpanic.fleet import FleetDrift, FleetVerdict, HostRecord, MigrationAnswer
from onpanic.matrix import LibvirtRecord, Matrix
from onpanic.probe import CapabilityRecord
from onpanic.run import RunResult
from onpanic.why import LastWords
from onpanic.why.readiness.readiness_result import Readiness

ROOT = Path(__file__).parent.parent
SCHEMAS: dict[type, Path] = {
    CapabilityRecord: ROOT / "probe/onpanic/probe/record/record.schema.json",
    LastWords: ROOT / "why/onpanic/why/words/last_words.schema.json",
    Readiness: ROOT / "why/onpanic/why/readiness/readiness.schema.json",
    RunResult: ROOT / "why/onpanic/run/run_result.schema.json",
    LibvirtRecord: ROOT / "compat-matrix/onpanic/matrix/libvirts/libvirt.schema.json",
    HostRecord: ROOT / "fleet/onpanic/fleet/hosts/host.schema.json",
    FleetVerdict: ROOT / "fleet/onpanic/fleet/verdict/verdict.schema.json",
    FleetDrift: ROOT / "fleet/onpanic/fleet/drift/drift.schema.json",
    MigrationAnswer: ROOT / "fleet/onpanic/fleet/migration/migration.schema.json",
    Matrix: ROOT / "compat-matrix/onpanic/matrix/model/matrix.schema.json",
}


def main() -> None:
    for kind, path in SCHEMAS.items():
        schema = msgspec.json.encode(msgspec.json.schema(kind), order="sorted")
        path.write_bytes(msgspec.json.format(schema, indent=2) + b"\n")


if __name__ == "__main__":
    main()
