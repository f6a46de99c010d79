# One command each: `make run` (the demonstration) and `make test`. `make` alone lists the rest.
#
#   TARGET=auto|embedded|bmv2   which switch (auto: the embedded one)
#   SWITCHES=1|2                how many switches `make up` starts
#   NAME=sluice                 of the lab: its network namespace, and /run/NAME
#   TESTS=tests/...  JOBS=3     `make test`: which tests, how many at once
#   P4C_SOURCE=... P4C=...      p4c's source and compiler, for `make conformance`
#   SOAK=50  SOAK_SECONDS=3600  `make soak`: how many times as long; its traffic
#   CASES=10000                 how many packets `make same-bytes` sends
#   FUZZ=600                    seconds that each search of `make fuzz` takes

TARGET ?= auto
NAME ?= sluice
SWITCHES ?= 1
TESTS ?= tests
JOBS ?= $(shell expr $$(nproc) + 1)
SOAK ?= 50
SOAK_SECONDS ?= 3600
CASES ?= 10000
P4C_SOURCE ?= ../p4c
P4C ?= p4c-bm2-ss
FUZZ ?= 600

export SLUICE_CACHE ?= $(CURDIR)/build/cache
export PYTHONUNBUFFERED = 1
# Modules are compiled once, and not by each of the hundreds of processes that a run starts.
export PYTHONDONTWRITEBYTECODE =

PYTHON ?= $(shell for p in python3.11 /usr/bin/python3.11 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && command -v "$$p" && break; done)
# What `make test` does at once, the longest first. A part collects its own tests only. Labs mostly wait, so two run
# at a time; they have the processor before all else, since what they count depends on time.
PARTS = test-labs test-processes test-switch test-units check test-packets test-rest
LABS = tests/system
PROCESSES = tests/crash tests/integration
SWITCH = tests/switch
UNITS = tests/unit
PACKETS = tests/packets
AFTER_LABS = nice -n 10

VENV := .venv/bin
LAB = $(VENV)/python -m topo --name '$(NAME)'

.DEFAULT_GOAL := help
.PHONY: help run up down test test-labs test-processes test-switch test-units test-packets test-rest check
.PHONY: soak same-bytes p4 p4sh bench-switch bench-failover bench-consistency bench-shares bench-controller bench-health
.PHONY: bench-rings bench-writes bench-reads bench-tables
.PHONY: conformance fuzz lock clean install install-all rights python

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-18s %s\n", $$1, $$2}'
	@sed -n '3,10s/^#//p' Makefile

run: rights install ## the demonstration: a server dies under load; what held
	@$(LAB) run --target '$(TARGET)'

up: rights install ## start everything and open a prompt
	@$(LAB) up --target '$(TARGET)' --switches '$(SWITCHES)'

down: python ## end what `make up` started
	@$(PYTHON) -m topo --name '$(NAME)' down

test: install-all ## every check and every test
ifeq ($(TESTS),tests)
	@echo 'Some at a time, each of which shows what it found when it has ended: $(PARTS)'
	@$(MAKE) --no-print-directory --keep-going --jobs=$(JOBS) --output-sync=target $(PARTS)
	@echo 'Every part has passed: $(PARTS)'
else
	@$(MAKE) --no-print-directory check
	$(VENV)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)
endif

test-labs: install ## whole networks
	$(VENV)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(LABS)

test-processes: install ## controllers with switches, also when they are killed
	$(AFTER_LABS) $(VENV)/python -m pytest $(PROCESSES)

test-switch: install ## the embedded switch
	$(AFTER_LABS) $(VENV)/python -m pytest $(SWITCH)

test-units: install ## parts of the controller
	$(AFTER_LABS) $(VENV)/python -m pytest $(UNITS)

test-packets: install ## the packet table
	$(AFTER_LABS) $(VENV)/python -m pytest $(PACKETS)

test-rest: install ## all other tests
	$(AFTER_LABS) $(VENV)/python -m pytest tests $(addprefix --ignore=,$(LABS) $(PROCESSES) $(SWITCH) $(UNITS) $(PACKETS))

soak: install ## search for counter-examples longer; an hour of traffic
	SLUICE_SOAK='$(SOAK)' $(VENV)/python -m pytest tests/property tests/crash tests/packets/test_same_bytes.py \
		tests/system/test_lab.py tests/system/test_web.py tests/system/test_two_switches.py \
		tests/switch/test_server_dataplane.py
	$(VENV)/python -m bench.soak --seconds '$(SOAK_SECONDS)'

same-bytes: install ## random packets through the program here and on BMv2
	SLUICE_CASES='$(CASES)' $(VENV)/python -m pytest -q tests/packets/test_random_tables.py

check: install ## ruff and pyright
	$(VENV)/ruff check .
	$(AFTER_LABS) $(VENV)/pyright

p4: install ## compile p4src/ with p4c, where it is present
	$(VENV)/python p4src/build.py

p4sh: install-all ## p4runtime-shell on the switch of `make up`, to look
	@ip netns exec '$(NAME)' .venv-p4sh/bin/python topo/p4sh.py --socket '/run/$(NAME)/sluice.sock'

bench-switch: install ## packets, latency, TCP, beside BMv2 and the kernel
	$(VENV)/python -m bench.switch

bench-writes: install ## P4Runtime writes per second, beside BMv2
	$(VENV)/python -m bench.writes

bench-reads: install ## P4Runtime reads per second, beside BMv2
	$(VENV)/python -m bench.reads

bench-tables: install ## ternary and LPM tables: lookups and changes by size
	$(VENV)/python -m bench.tables

bench-rings: install ## ways to take packets from the kernel, side by side
	$(VENV)/python -m bench.rings

bench-failover: rights install ## how long a dead server gets connections, beside HAProxy
	$(VENV)/python -m bench.failover

conformance: install ## p4c's own end-to-end programs on the embedded switch
	@$(VENV)/python -m tests.conformance '$(P4C_SOURCE)' '$(P4C)'

fuzz: install ## random packets, requests and programs, sanitized
	SLUICE_FUZZ='$(FUZZ)' $(VENV)/python -m pytest -q tests/switch/test_engine_fuzz.py \
		tests/switch/test_server_native_writes.py tests/switch/test_server_native_reads.py \
		tests/switch/test_server_fuzz.py tests/integration/test_api_fuzz.py

bench-consistency: install ## connections that a change breaks, beside others
	$(VENV)/python -m bench.consistency

bench-shares: install ## how exact shares are, how many buckets a change moves
	$(VENV)/python -m bench.shares

bench-health: install ## health checks a second, and what they delay
	$(VENV)/python -m bench.health

bench-controller: install ## loading, changes and repairs at 1 000 pools
	$(VENV)/python -m bench.controller

lock: install ## resolve the locked requirements anew
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip --disable-pip-version-check install --quiet uv
	build/lock/bin/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-header \
		--group dev pyproject.toml -o requirements/venv.txt
	build/lock/bin/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-header \
		requirements/p4sh.in -o requirements/p4sh.txt

clean: python ## remove whatever the project made
	@$(PYTHON) -m topo clean

install: python
	@$(PYTHON) -m topo.install

install-all: python
	@$(PYTHON) -m topo.install --p4sh

rights: python
	@$(PYTHON) -m topo.preflight rights

python:
	@test -n '$(PYTHON)' || { echo 'Cannot run here: there is no Python 3.11' >&2; \
		echo 'What to do:      apt-get install python3.11 python3.11-venv, or make PYTHON=/path/to/python3.11' >&2; \
		exit 2; }
