# make setup   what both others share: tools, the Python environment, the guest agents
# make demo    setup, kernels and images, and the main job, shown
# make test    setup, and every test that fits in twenty minutes, machines included
# make test-platforms   the same for the platforms beyond amd64 and arm64: their QEMU too, and the boot tests on each
# make agents  the guest agent for every platform
# make soak    the long runs: all fuzz inputs, all kills
# make test-docker-py   docker-py's own tests (containers, images, builds, networks, volumes and more)
# make bench   the measured table of the README

PYTHON ?= python3
VENV = .venv
STAMP = $(VENV)/.installed

setup: $(STAMP)
	$(MAKE) -s -C guest-agent PYTHON=$(CURDIR)/$(VENV)/bin/python

$(STAMP): pyproject.toml images/setup
	images/setup $(PYTHON) $(VENV)
	touch $@

agents: $(STAMP)
	$(MAKE) -s -C guest-agent every PYTHON=$(CURDIR)/$(VENV)/bin/python

demo: setup
	$(VENV)/bin/python tests/demo.py

test: setup
	./check --all

FURTHER = linux/386 linux/arm/v7 linux/ppc64le linux/s390x linux/riscv64

test-platforms: setup agents
	images/setup $(PYTHON) $(VENV) every
	for platform in $(FURTHER); do ./check --platform $$platform || exit; done

soak: setup
	$(MAKE) -s -C guest-agent fuzz COUNT=1000000 PYTHON=$(CURDIR)/$(VENV)/bin/python
	$(VENV)/bin/python tests/clean_host.py $(VENV)/bin/python -m pytest -m soak tests

test-docker-py: setup
	$(VENV)/bin/python tests/docker_py/run.py

bench: setup
	$(VENV)/bin/python tests/bench/run.py

clean:
	rm -rf $(VENV) guest-agent/out

.PHONY: setup agents demo test test-docker-py test-platforms soak bench clean
