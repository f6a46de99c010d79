# One command each: `make run` (the demonstration) and `make test`. `make` alone lists the rest.
#
#   TARGET=auto|embedded|bmv2   which switch (auto: the embedded one)
#   SWITCHES=1|2                how many switches `make up` starts, with a router in front of two
#   NAME=sluice                 the lab's name: its network namespace, and /run/NAME
#   TESTS=tests/...  JOBS=N     which tests `make test` runs, and how many at once (one more than there are processors)
#   P4C_SOURCE=/path P4C=...    p4c's source folder and compiler, for `make conformance`
#   SOAK=50  SOAK_SECONDS=3600  how many times as long `make soak` looks; how long its traffic lasts
#   FUZZ=600                    how many seconds `make fuzz` looks

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
	@sed -n '3,9s/^#//p' Makefile

run: rights install ## the demonstration: real HTTP, a server killed under load, what held and what did not
	@$(LAB) run --target '$(TARGET)'

up: rights install ## start everything and open a prompt (in the background when there is no terminal)
	@$(LAB) up --target '$(TARGET)' --switches '$(SWITCHES)'

down: python ## end what `make up` started
	@$(PYTHON) -m topo --name '$(NAME)' down

test: install-all ## every check and every test; each of its parts shows what it found when it has ended
ifeq ($(TESTS),tests)
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

soak: install ## the searches for counter-examples, SOAK times as long (50); an hour of traffic through the switch
	SLUICE_SOAK='$(SOAK)' $(VENV)/python -m pytest tests/property tests/crash tests/packets/test_same_bytes.py \
		tests/system/test_lab.py tests/system/test_web.py tests/switch/test_server_dataplane.py
	$(VENV)/python -m bench.soak --seconds '$(SOAK_SECONDS)'

same-bytes: install ## CASES random packets (10000), in random tables, through the program and BMv2
	SLUICE_CASES='$(CASES)' $(VENV)/python -m pytest -q tests/packets/test_random_tables.py

check: install ## ruff and pyright
	$(VENV)/ruff check .
	$(AFTER_LABS) $(VENV)/pyright

p4: install ## compile p4src/ with p4c, where it is present
	$(VENV)/python p4src/build.py

p4sh: install-all ## p4runtime-shell on the running switch, beside the controller: it looks, by our names
	@ip netns exec '$(NAME)' .venv-p4sh/bin/python topo/p4sh.py --socket '/run/$(NAME)/sluice.sock'

bench-switch: install ## packets, latency and TCP of the embedded switch, beside BMv2 and the kernel
	$(VENV)/python -m bench.switch

bench-writes: install ## P4Runtime writes per second beside BMv2, and what they do to the packets meanwhile
	$(VENV)/python -m bench.writes

bench-reads: install ## P4Runtime reads per second beside BMv2
	$(VENV)/python -m bench.reads

bench-tables: install ## ternary and LPM tables by themselves: lookups and changes by the number of entries
	$(VENV)/python -m bench.tables

bench-rings: install ## ways to take packets from the kernel and give them to it, side by side
	$(VENV)/python -m bench.rings

bench-failover: rights install ## how long a dead server gets new connections, beside BMv2 and HAProxy where present
	$(VENV)/python -m bench.failover

conformance: install ## p4c's own end-to-end programs on the embedded switch (needs P4C_SOURCE)
	@$(VENV)/python -m tests.conformance '$(P4C_SOURCE)' '$(P4C)'

fuzz: install ## packets, writes and reads for sanitized programs, JSON, P4Runtime messages, the API: for FUZZ seconds each
	SLUICE_FUZZ='$(FUZZ)' $(VENV)/python -m pytest -q tests/switch/test_engine_fuzz.py \
		tests/switch/test_server_native_writes.py tests/switch/test_server_native_reads.py \
		tests/switch/test_server_fuzz.py tests/integration/test_api_fuzz.py

bench-consistency: install ## connections broken by a change of servers: ours beside hashing, Maglev, and a cache
	$(VENV)/python -m bench.consistency

bench-shares: install ## how exact shares are, and how many buckets a change moves, beside Maglev
	$(VENV)/python -m bench.shares

bench-health: install ## health checks a second, and what they delay
	$(VENV)/python -m bench.health

bench-controller: install ## what the controller decides, writes and makes whole again in a second, beside Maglev
	$(VENV)/python -m bench.controller

lock: install ## resolve the locked requirements anew
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip --disable-pip-version-check install --quiet uv
	build/lock/bin/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-header \
		--group dev pyproject.toml -o requirements/venv.txt
	build/lock/bin/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-header \
		requirements/p4sh.in -o requirements/p4sh.txt

clean: python ## remove every namespace, interface, process and file that the project made
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
