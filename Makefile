.DEFAULT_GOAL := help
.PHONY: help install test slow lint types format clean wheel

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## install the package and what developing it needs
	pip install -e '.[dev]'

test: ## run the tests
	pytest

slow: ## run the tests that take minutes
	pytest -m slow

lint: ## check style
	ruff check .
	ruff format --check .

types: ## check types
	pyright

format: ## put the code into shape
	ruff check --fix .
	ruff format .

clean: ## remove caches and builds; runs/ and data/ stay
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

wheel: ## build the wheel into dist/
	pip wheel --no-deps --wheel-dir dist .
