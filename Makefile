# Aliases; dev.py is the one implementation. Pass arguments with: make test ARGS="-k session"
PYTHON ?= python3
VERBS := demo test lint bench chaos soak test-adapters

.PHONY: $(VERBS)
$(VERBS):
	@$(PYTHON) dev.py $@ $(ARGS)
