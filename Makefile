# Everything on a fresh Debian: `make probe` to look at the host's QEMU, `make test` to run the tests.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where other Debian suites' QEMUs are unpacked; nothing is installed
EMULATORS ?= .emulators

.PHONY: probe test bench lint format schema matrix docs clean

probe: $(VENV)/probe.done
	@tools/packages qemu-system-x86
	@$(BIN)/onpanic probe

test: $(VENV)/dev.done
	@tools/packages qemu-system-x86 bubblewrap dash gpg gpg-agent autopkgtest rsync perl chromium chromium-driver
	@ONPANIC_EMULATORS=$(abspath $(EMULATORS)) $(BIN)/python -m pytest $(PYTEST)

bench: $(VENV)/dev.done
	@tools/packages qemu-system-x86 bubblewrap libvirt-clients libvirt-daemon-driver-qemu
	@ONPANIC_EMULATORS=$(abspath $(EMULATORS)) $(BIN)/python tools/bench.py

lint: $(VENV)/dev.done
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/dev.done
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Golden files: JSON Schemas, what is published of the matrix, and the table of policies
schema: $(VENV)/probe.done
	$(BIN)/python -m onpanic.probe.record
	$(BIN)/python -m onpanic.matrix.model

matrix: $(VENV)/probe.done
	$(BIN)/onpanic matrix build compat-matrix/records -o compat-matrix

docs: $(VENV)/probe.done
	$(BIN)/python tools/policies.py

clean:
	rm -rf $(VENV) $(EMULATORS)

$(VENV)/probe.done: pyproject.toml
	@tools/venv $(PYTHON) $(VENV) .
	@touch $@

$(VENV)/dev.done: pyproject.toml
	@tools/packages libvirt-dev pkg-config gcc python3-dev libvirt-daemon
	@tools/venv $(PYTHON) $(VENV) '.[dev,libvirt,prometheus]'
	@touch $@ $(VENV)/probe.done
