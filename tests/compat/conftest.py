"""The program is run by its test, not imported."""

collect_ignore = ["script.py"]
