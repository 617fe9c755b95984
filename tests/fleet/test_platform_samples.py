"""The samples for KubeVirt, oVirt and Proxmox VE: schemas accept them, and their scripts do what they say."""

import argparse
import json
import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
import pytest
from lxml import etree
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from ruamel.yaml import YAML

from onpanic.cli import watch
from onpanic.probe.testing import QEMU_7_2

Unavailable = Callable[[str], NoReturn]
ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "docs" / "samples"

DOMAIN = """<domain type='qemu'>
  <name>guest</name>
  <memory>1048576</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices><emulator>{emulator}</emulator></devices>
</domain>
"""


def manifest(name: str) -> Any:
    """Return what a YAML file of the samples for Kubernetes says."""
    return YAML(typ="safe", pure=True).load(SAMPLES / "kubernetes" / name)


def program(path: Path, script: str) -> Path:
    """Make a shell script."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def run(*words: str | Path, programs: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script that finds the programs of a folder first.

    :param programs: The folder.
    """
    return subprocess.run(
        words,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Kubernetes


@pytest.fixture(scope="session")
def kubernetes_validator(
    tmp_path_factory: pytest.TempPathFactory, unavailable: Unavailable
) -> Callable[[str], Any]:
    """Return a function from a kind to its validator; a package has the schemas that Kubernetes publishes."""
    folder = tmp_path_factory.mktemp("kubernetes")
    words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "kubernetes-validate==1.37.0"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode:
        unavailable(f"Kubernetes' schemas cannot be had: {done.stderr.splitlines()[-1:]}")
    (wheel,) = folder.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    schemas = "kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict/"

    def read(name: str) -> Any:
        return json.loads(archive.read(schemas + name))

    definitions = Resource.from_contents(read("_definitions.json"), default_specification=DRAFT202012)
    registry = Registry[Any]().with_resource("https://kubernetes.io/api/_definitions.json", definitions)
    return lambda name: jsonschema.Draft202012Validator(read(name), registry=registry)


@pytest.mark.consumers
def test_kubernetes_accepts_the_manifests(kubernetes_validator: Callable[[str], Any]) -> None:
    """Its schemas are strict: a field that is misspelt is found."""
    daemon_set = manifest("daemonset.yaml")
    kubernetes_validator("daemonset-apps-v1.json").validate(daemon_set)
    kubernetes_validator("configmap-v1.json").validate(manifest("hook-sidecar.yaml"))
    daemon_set["spec"]["template"]["spec"]["containers"][0]["securityContext"]["runAsUsr"] = 0
    assert not kubernetes_validator("daemonset-apps-v1.json").is_valid(daemon_set)


def test_the_pod_has_few_rights() -> None:
    """What it may do beyond the defaults is what its comments give a reason for."""
    pod = manifest("daemonset.yaml")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    context = container["securityContext"]
    assert pod["automountServiceAccountToken"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert [volume["name"] for volume in pod["volumes"] if "hostPath" in volume] == ["features"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


@pytest.mark.emulators
def test_the_pod_writes_the_labels(unavailable: Unavailable, host_programs: Path, tmp_path: Path) -> None:
    """Its command runs with the container's restrictions, and ends when it is told to.

    The label that the sample of a guest asks for is in the file.
    """
    pod = manifest("daemonset.yaml")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    features = tmp_path / "features.d"
    features.mkdir()
    sandbox = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    for visible in (str(ROOT), sys.prefix):  # which may be below /tmp
        sandbox += ["--ro-bind", visible, visible]
    sandbox += ["--ro-bind", str(host_programs), "/tmp/bin"]
    sandbox += ["--bind", str(features), "/tmp/features.d", "--unshare-all", "--die-with-parent"]
    sandbox += ["--cap-drop", "ALL", "--cap-add", "CAP_NET_BIND_SERVICE", "--chdir", "/"]
    shell, option, script = container["command"]
    script = script.replace("/features.d/", "/tmp/features.d/").replace("sleep 3600", "kill $$; sleep 3600")
    done = run(*sandbox, shell, option, script, programs=Path("/tmp/bin"))
    if done.returncode == 1 and done.stderr.startswith("bwrap: "):
        unavailable(done.stderr)
    assert done.returncode == 0, done.stderr
    (file,) = list(features.iterdir()) or pytest.fail(done.stderr)
    assert (file.name, file.stat().st_mode & 0o777) == ("onpanic", 0o644)
    (label,) = manifest("virtual-machine.yaml")["spec"]["template"]["spec"]["nodeSelector"].items()
    assert "=".join(label) in file.read_text().splitlines()


@pytest.mark.processes
def test_the_hook_sidecar_adds_the_action(tmp_path: Path) -> None:
    """KubeVirt's shim calls the script with two options, and defines what it prints."""
    script = tmp_path / "onDefineDomain"
    script.write_text(manifest("hook-sidecar.yaml")["data"]["onDefineDomain"])
    script.chmod(0o755)
    domain = DOMAIN.format(emulator="/usr/bin/qemu-system-x86_64")
    done = run(script, "--vmi", '{"kind": "VirtualMachineInstance"}', "--domain", domain, programs=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    printed = etree.fromstring(done.stdout)
    (added,) = printed.findall("on_crash")
    assert added.text == "preserve-running"
    printed.remove(added)
    assert etree.tostring(printed, method="c14n") == etree.tostring(etree.fromstring(domain), method="c14n")


# oVirt


@pytest.fixture
def host_programs(tmp_path: Path) -> Path:
    """Return a folder with the command, and with an emulator that is played."""
    folder = tmp_path / "bin"
    program(folder / "onpanic", f'exec {shlex.quote(sys.executable)} -m onpanic "$@"')
    program(folder / "qemu", f'exec {shlex.join(QEMU_7_2.command())} "$@"')
    return folder


@pytest.mark.processes
@pytest.mark.parametrize(
    ("policy", "status", "on_crash"),
    [("restart", 0, "restart"), ("", 0, None), ("reboot", 2, None)],
)
def test_the_hook_of_ovirt(
    policy: str, status: int, on_crash: str | None, host_programs: Path, tmp_path: Path
) -> None:
    """It translates the policy of the custom property; a refusal leaves the file, and stops the VM."""
    file = tmp_path / "domain.xml"
    file.write_text(DOMAIN.format(emulator=host_programs / "qemu"))
    before = file.read_text()
    properties = {"on_panic": policy} if policy else {}
    done = run(SAMPLES / "ovirt/50_onpanic", programs=host_programs, _hook_domxml=str(file), **properties)
    assert done.returncode == status
    assert ("unknown-value" in done.stderr) == (status == 2)
    domain = etree.parse(file).getroot()
    assert domain.findtext("on_crash") == on_crash
    assert (domain.find("devices/panic") is not None) == (on_crash is not None)
    assert on_crash or file.read_text() == before


# Proxmox VE


@pytest.mark.processes
def test_the_hookscript_of_proxmox(tmp_path: Path) -> None:
    """After the start it starts a watcher that ends with the VM; other phases start nothing."""
    folder = tmp_path / "bin"
    said = tmp_path / "said"
    for name in ("mkdir", "systemctl", "systemd-run"):
        program(folder / name, f'printf "%s\\n" "{name} $*" >> {shlex.quote(str(said))}')
    for phase in ("pre-start", "post-start", "pre-stop", "post-stop"):
        done = run(SAMPLES / "proxmox/onpanic", "100", phase, programs=folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made, stopped, started = said.read_text().splitlines()
    assert made == "mkdir -p -m 0700 /run/onpanic"
    assert stopped == "systemctl stop onpanic-watch-100.service"
    options, watcher = started.split(" onpanic ")
    assert "--property=BindsTo=100.scope" in options.split()
    assert watcher == "watch --qmp /run/onpanic/100.qmp --on-panic restart"
    parser = argparse.ArgumentParser()
    watch.configure(parser)
    parser.parse_args(watcher.split()[1:])
