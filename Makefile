# The project's chores. Needs GNU make, git and a Python 3.9 or newer.
# `make PYTHON=python3.9 test` chooses one; `make TESTS=test_train test` runs some of the tests.

PYTHON ?= python3
PREFIX ?= $(HOME)/.local
COMMANDS = $(notdir $(wildcard bin/*))
PAGES = $(wildcard man/*.[1-9])
LIBRARY = $(DESTDIR)$(PREFIX)/lib/neuromanager

# What tests/setup.sh left: the clone's own Python where it needed one.
PREPARED = $$(if [ -x .venv/bin/python3 ]; then echo .venv/bin/python3; else echo "$(PYTHON)"; fi)

# Of Debian's suites: bullseye has Slurm 20.11, bookworm 22.05, trixie 24.11. None named: all.
SUITES =

.PHONY: help demo test lint bench install uninstall clean setup
.PHONY: test-slurm-versions record-slurm-answers clean-slurm-versions

help:
	@echo 'make demo       sweep examples/train.py over params.json on this machine'
	@echo 'make test       run all tests; on Debian as root it installs a Slurm and an HTCondor for them'
	@echo 'make test-slurm-versions'
	@echo '                run what asks a Slurm on 20.11, 22.05 and 24.11; as root, with debootstrap'
	@echo 'make lint       ruff, mypy --strict, shellcheck, mandoc'
	@echo 'make bench      measure, against a stopwatch'
	@echo 'make install    into PREFIX (now $(PREFIX)): the commands and their man pages'
	@echo 'make uninstall  take that back'
	@echo 'make clean      remove what make made here (never runs/)'

setup:
	@bash tests/setup.sh '$(PYTHON)'

demo: setup
	@bash examples/demo.sh

test: setup
	@bash tests/beds/slurm/install.sh
	@bash tests/beds/htcondor/install.sh
	@"$(PREPARED)" -m tests $(TESTS)

# Some 7 minutes for each version, and once 1 to install it in ~/.cache; SUITES=trixie and TESTS=... choose.
test-slurm-versions:
	@TESTS='$(TESTS)' bash tests/beds/slurm/versions.sh test $(SUITES)

# What each version answers to our questions, for tests/slurm/test_answers.py.
record-slurm-answers:
	@bash tests/beds/slurm/versions.sh record $(SUITES)

clean-slurm-versions:
	@bash tests/beds/slurm/versions.sh remove $(SUITES)

lint:
	@bash tests/lint.sh '$(PYTHON)'

bench: setup
	@"$(PREPARED)" -m tests.bench

# bin/ and the package stay together in lib/, as in a clone; what is on PATH and MANPATH points there.
install:
	@test -n '$(COMMANDS)'
	rm -rf '$(LIBRARY)'
	install -d '$(LIBRARY)' '$(DESTDIR)$(PREFIX)/bin'
	cp -R bin neuromanager '$(LIBRARY)'
	find '$(LIBRARY)' -name __pycache__ -prune -exec rm -rf {} +
	'$(PYTHON)' -m compileall -q '$(LIBRARY)/neuromanager'
	for command in $(COMMANDS); do \
	    ln -sf "../lib/neuromanager/bin/$$command" '$(DESTDIR)$(PREFIX)/bin/' || exit 1; \
	done
	for page in $(PAGES); do \
	    folder='$(DESTDIR)$(PREFIX)'/share/man/man$${page##*.}; \
	    install -d "$$folder" && install -m 644 "$$page" "$$folder" || exit 1; \
	done
	@'$(PYTHON)' -c 'import jsonschema' 2>/dev/null || echo 'Note: $(PYTHON) has no jsonschema yet, which neuromanager needs.'

uninstall:
	for command in $(COMMANDS); do rm -f '$(DESTDIR)$(PREFIX)/bin/'"$$command"; done
	for page in $(notdir $(PAGES)); do rm -f '$(DESTDIR)$(PREFIX)'/share/man/man$${page##*.}/"$$page"; done
	rm -rf '$(LIBRARY)'

clean:
	rm -rf .venv .venv-lint .mypy_cache .ruff_cache build neuromanager.egg-info
	find bin neuromanager tests examples -name __pycache__ -prune -exec rm -rf {} +
