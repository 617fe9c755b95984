# Everything on a fresh Debian: `make probe` to look at the host's QEMU, `make test` to run the tests.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Exact versions of everything that is installed; /dev/null for the newest ones
CONSTRAINTS ?= constraints.txt
# Where other Debian suites' QEMUs are unpacked; nothing is installed
EMULATORS ?= .emulators
# Further options for pytest
PYTEST ?=

# How many processes run the tests: half as many again as there are processors, up to four, since a test
# that waits for a guest or for the disk leaves its processor idle
TEST_PROCESSES ?= $(shell expr \( $$(nproc) \* 3 + 1 \) / 2)
# What Python compiles is kept whatever the environment says: each process imports all of the tests
RUN_TESTS = ONPANIC_EMULATORS=$(abspath $(EMULATORS)) \
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(TEST_PROCESSES) --maxprocesses 4 --dist worksteal
SLOW := browser or consumers or emulators or libvirt or package or processes or xen

.PHONY: probe test quick bench lint format schema matrix docs man pictures recording site deb clean

probe: $(VENV)/probe.done
	@tools/packages qemu-system-x86
	@$(BIN)/onpanic probe

test: $(VENV)/dev.done
	@tools/packages qemu-system-x86 bubblewrap dash e2fsprogs gpg gpg-agent autopkgtest git libvirt-clients rsync perl \
		chromium chromium-driver openssh-client mandoc zsh fish rpm rpmlint mmdebstrap
	@$(RUN_TESTS) $(PYTEST)

# What needs no emulator, no libvirt, no browser and hardly a process
quick: $(VENV)/dev.done
	@$(RUN_TESTS) -m "not ($(SLOW))" $(PYTEST)

bench: $(VENV)/dev.done
	@tools/packages qemu-system-x86 bubblewrap libvirt-clients libvirt-daemon-driver-qemu openssh-client
	@ONPANIC_EMULATORS=$(abspath $(EMULATORS)) $(BIN)/python tools/bench.py

lint: $(VENV)/dev.done
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/dev.done
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Generated files: JSON Schemas, what is published of the matrix, and pages about policies and codes
schema: $(VENV)/probe.done
	$(BIN)/python tools/schemas.py

matrix: $(VENV)/probe.done
	$(BIN)/onpanic matrix build compat-matrix/records compat-matrix/libvirts -o compat-matrix

docs: $(VENV)/probe.done
	$(BIN)/python tools/policies.py
	$(BIN)/python tools/codes.py
	$(BIN)/python tools/codes_page.py
	$(BIN)/python tools/dependencies.py
	$(BIN)/python tools/manpages.py  # has the codes

# Manual pages and completion of shells, as they are installed below a prefix
man: $(VENV)/probe.done
	$(BIN)/python tools/manpages.py

# The pictures of the documentation
pictures: $(VENV)/dev.done
	$(BIN)/python tools/draw_pictures.py

# The same, with the session in a terminal recorded again
recording: $(VENV)/dev.done
	@tools/packages qemu-system-x86
	$(BIN)/python tools/draw_pictures.py --record

# The documentation as a site, in build/site
site: $(VENV)/dev.done
	@$(BIN)/python tools/website.py

# Debian packages in dist/debian, built in a clean root of SUITE and checked with lintian
SUITE ?= trixie
deb: $(VENV)/probe.done
	@tools/packages mmdebstrap bubblewrap uidmap
	@ONPANIC_EMULATORS=$(abspath $(EMULATORS)) $(BIN)/python tools/deb.py dist/debian --suite $(SUITE)

clean:
	rm -rf $(VENV) $(VENV).lock $(EMULATORS) build

$(VENV)/probe.done: pyproject.toml $(CONSTRAINTS)
	@tools/venv $(PYTHON) $(VENV) $(CONSTRAINTS) $@ '.[matrix,terminal,xml]'

$(VENV)/dev.done: pyproject.toml $(CONSTRAINTS)
	@tools/packages libvirt-dev pkg-config gcc python3-dev libvirt-daemon
	@tools/venv $(PYTHON) $(VENV) $(CONSTRAINTS) $@ '.[dev,libvirt,matrix,prometheus,terminal]'
	@touch $(VENV)/probe.done
