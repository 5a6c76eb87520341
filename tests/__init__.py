"""The tests: `python3 -m tests` runs them all, `python3 -m tests test_train` one module of them."""
