# make setup   what both others share: tools, the Python environment, the guest agents
# make demo    setup, kernels and images, and the main job, shown
# make test    setup, and every test that fits in twenty minutes, machines included
# make soak    the long runs: all fuzz inputs, all kills
# make bench   the measured table of the README

PYTHON ?= python3
VENV = .venv
STAMP = $(VENV)/.installed

setup: $(STAMP)
	$(MAKE) -s -C guest-agent PYTHON=$(CURDIR)/$(VENV)/bin/python

$(STAMP): pyproject.toml images/setup
	images/setup $(PYTHON) $(VENV)
	touch $@

demo: setup
	$(VENV)/bin/python tests/demo.py

test: setup
	./check --all

soak: setup
	$(MAKE) -s -C guest-agent fuzz COUNT=1000000 PYTHON=$(CURDIR)/$(VENV)/bin/python
	$(VENV)/bin/python -m pytest -m soak tests

bench: setup
	$(VENV)/bin/python tests/bench/run.py

clean:
	rm -rf $(VENV) guest-agent/out

.PHONY: setup demo test soak bench clean
