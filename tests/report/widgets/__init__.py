"""One folder of tests, for one browser."""
