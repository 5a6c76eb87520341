# The project's chores. Needs GNU make, git and a Python 3.9 or newer.
# `make PYTHON=python3.9 test` chooses one; `make TESTS=test_train test` runs some of the tests.

PYTHON ?= python3
PREFIX ?= $(HOME)/.local
COMMANDS = $(notdir $(wildcard bin/*))
PAGES = $(wildcard man/*.[1-9])
SHARE = $(DESTDIR)$(PREFIX)/share
BASH_COMPLETION = $(SHARE)/bash-completion/completions
ZSH_COMPLETION = $(SHARE)/zsh/site-functions
FISH_COMPLETION = $(SHARE)/fish/vendor_conf.d
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' neuromanager/__init__.py)
LIBRARY = $(DESTDIR)$(PREFIX)/lib/neuromanager

# In quotes in each recipe, rm -rf among them; and what is on PATH means the same everywhere.
GIVEN = $(value DESTDIR)$(if $(filter file,$(origin PREFIX)),,$(value PREFIX))
ifneq ($(findstring ',$(DESTDIR)$(PREFIX))$(findstring $$,$(GIVEN))$(findstring ",$(PREFIX)),)
ifneq ($(filter install uninstall,$(MAKECMDGOALS)),)
$(error PREFIX, DESTDIR: a name with a quote or a dollar sign; choose another)
endif
endif
ABSOLUTE = @case '$(PREFIX)' in /* | '') ;; *) echo "PREFIX: '$(PREFIX)' is relative; write $$PWD/$(PREFIX)" >&2; exit 1 ;; esac

# What tests/setup.sh left: the clone's own Python where it needed one.
PREPARED = $$(if [ -x .venv/bin/python3 ]; then echo .venv/bin/python3; else echo "$(PYTHON)"; fi)

# Of Debian's suites: bullseye has Slurm 20.11, bookworm 22.05, trixie 24.11. None named: all.
SUITES =

.PHONY: help demo test lint bench fuzz install uninstall clean setup deb completion pages
.PHONY: test-editable test-hosts test-htcondor test-slurm-versions record-slurm-answers clean-slurm-versions

help:
	@echo 'make demo       sweep examples/train.py over params.json on this machine'
	@echo 'make test       run all tests; on Debian as root it installs a Slurm and an HTCondor for them'
	@echo 'make test-slurm-versions'
	@echo '                run what asks a Slurm on 20.11, 22.05 and 24.11; as root, with debootstrap'
	@echo 'make test-editable'
	@echo '                frozen code and pip install -e, every way that there is'
	@echo 'make fuzz-inputs'
	@echo '                set random values in random input files, and let other readers say what is in them'
	@echo 'make test-hosts'
	@echo '                run the long tests of clusters that are reached by ssh'
	@echo 'make test-htcondor'
	@echo '                run the long tests of HTCondor, with figures'
	@echo 'make lint       ruff, mypy --strict, shellcheck, mandoc'
	@echo 'make bench      measure, against a stopwatch'
	@echo 'make pictures   draw docs/pictures/*.svg from real runs in tmux; needs what make test installs'
	@echo 'make fuzz       20,000 random option lines and damaged documents; SEED=... repeats one'
	@echo 'make install    into PREFIX (now $(PREFIX)): the commands and their man pages'
	@echo 'make uninstall  take that back'
	@echo 'make deb        a Debian package, in build/'
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

# What takes long about hosts that are reached by ssh: some 9 minutes.
test-hosts: setup
	@bash tests/beds/slurm/install.sh
	@bash tests/beds/htcondor/install.sh
	@NEU_KILL_EXPERIMENTS=$${NEU_KILL_EXPERIMENTS:-25} "$(PREPARED)" -m tests hosts.long_hosts hosts.test_hosts_kills htcondor.long_reached

# What takes long on an HTCondor, with its figures: some 10 minutes.
test-htcondor: setup
	@bash tests/beds/htcondor/install.sh
	@NEU_KILL_EXPERIMENTS=$${NEU_KILL_EXPERIMENTS:-200} "$(PREPARED)" -m tests htcondor.test_outages.OutageTest.test_killed_at_random
	@NEU_KILL_EXPERIMENTS=20 "$(PREPARED)" -m tests htcondor.long_pool

# What each version answers to our questions, for tests/slurm/test_answers.py.
record-slurm-answers:
	@bash tests/beds/slurm/versions.sh record $(SUITES)

clean-slurm-versions:
	@bash tests/beds/slurm/versions.sh remove $(SUITES)

# Frozen code and pip install -e, in 20 combinations; pip fetches the builders. Some 2 minutes.
test-editable: setup
	@bash tests/snapshot/editable.sh "$(PREPARED)"

# Random values put into COUNT random files of each format of neuset, and read by programs that are not ours.
.PHONY: fuzz-inputs
COUNT = 2000
SEED = 1
fuzz-inputs:
	@bash tests/inputs/fuzz.sh '$(PYTHON)' $(COUNT) $(SEED)

lint:
	@bash tests/lint.sh '$(PYTHON)'

# Some 10 minutes; what fails is printed with the seed that repeats it.
fuzz: setup
	@"$(PREPARED)" -m tests.fuzz 20000 $(if $(filter command,$(origin SEED)),$(SEED))

bench: setup
	@"$(PREPARED)" -m tests.bench

.PHONY: pictures
pictures: setup
	@bash tests/beds/slurm/install.sh
	@"$(PREPARED)" -m tests pictures

# bin/ and the package stay together in lib/, as in a clone; what is on PATH and MANPATH points there.
install:
	$(ABSOLUTE)
	@test -n '$(COMMANDS)'
	@rm -rf '$(LIBRARY)'
	@install -d '$(LIBRARY)' '$(DESTDIR)$(PREFIX)/bin'
	@cp -R bin neuromanager '$(LIBRARY)'
	@find '$(LIBRARY)' -name __pycache__ -prune -exec rm -rf {} +
	@'$(PYTHON)' -m compileall -q '$(LIBRARY)/neuromanager'
	@for command in $(COMMANDS); do \
	    ln -sf "../lib/neuromanager/bin/$$command" '$(DESTDIR)$(PREFIX)/bin/' || exit 1; \
	done
	@for page in $(PAGES); do \
	    folder='$(DESTDIR)$(PREFIX)'/share/man/man$${page##*.}; \
	    install -d "$$folder" && install -m 644 "$$page" "$$folder" || exit 1; \
	done
	@install -d '$(BASH_COMPLETION)' '$(ZSH_COMPLETION)' '$(FISH_COMPLETION)'
	@for command in $(COMMANDS); do \
	    install -m 644 completion/neuromanager.bash '$(BASH_COMPLETION)/'"$$command" || exit 1; \
	done
	@install -m 644 completion/_neuromanager '$(ZSH_COMPLETION)'
	@install -m 644 completion/neuromanager.fish '$(FISH_COMPLETION)'
	@echo 'neuromanager $(VERSION) is in $(DESTDIR)$(PREFIX)'
	@test -n '$(DESTDIR)' || '$(PYTHON)' -c 'import jsonschema' 2>/dev/null || echo \
	    'It needs jsonschema, which $(PYTHON) lacks. On Debian as root: apt-get install python3-jsonschema;' \
	    'elsewhere: $(PYTHON) -m pip install jsonschema'
	@case "$(DESTDIR)|:$$PATH:" in \
	    [!\|]* | *:'$(PREFIX)/bin':*) ;; \
	    *) echo 'It is not on PATH yet: export PATH="$(PREFIX)/bin:$$PATH"' ;; \
	esac

uninstall:
	$(ABSOLUTE)
	@for command in $(COMMANDS); do rm -f '$(DESTDIR)$(PREFIX)/bin/'"$$command"; done
	@for page in $(notdir $(PAGES)); do rm -f '$(DESTDIR)$(PREFIX)'/share/man/man$${page##*.}/"$$page"; done
	@for command in $(COMMANDS); do rm -f '$(BASH_COMPLETION)/'"$$command"; done
	@rm -f '$(ZSH_COMPLETION)/_neuromanager' '$(FISH_COMPLETION)/neuromanager.fish'
	@rm -rf '$(LIBRARY)'

# The tutorial and the answers are pages of the manual, too.
pages:
	'$(PYTHON)' -m tests.page

# The files of completion/ name all commands; to be run when there is a new one.
completion:
	for command in $(COMMANDS); do ln -sf ../neuromanager.bash "completion/bash/$$command"; done
	sed -i -E 's/^(complete -F _neuromanager|#compdef|for name in) neu.*/\1 $(sort $(COMMANDS))/' \
	    completion/neuromanager.bash completion/_neuromanager completion/neuromanager.fish

# Needs dpkg-deb alone; what it makes has no build of a Python's version, that is done where it is installed.
deb:
	@rm -rf build/deb
	@$(MAKE) -s install DESTDIR="$$PWD/build/deb" PREFIX=/usr >/dev/null
	@find build/deb -name __pycache__ -prune -exec rm -rf {} +
	@mv build/deb/usr/share/zsh/site-functions build/deb/usr/share/zsh/vendor-completions
	@find build/deb/usr/share/man -type f -exec gzip -9n {} +
	@sed 's/@VERSION@/$(VERSION)/' packaging/control | install -D -m 644 /dev/stdin build/deb/DEBIAN/control
	@install -m 755 packaging/postinst packaging/prerm build/deb/DEBIAN
	@install -D -m 644 LICENSE build/deb/usr/share/doc/neuromanager/copyright
	@dpkg-deb --root-owner-group --build build/deb 'build/neuromanager_$(VERSION)_all.deb'

clean:
	rm -rf .venv .venv-lint .venv-fuzz .mypy_cache .ruff_cache build neuromanager.egg-info
	find bin neuromanager tests examples -name __pycache__ -prune -exec rm -rf {} +
