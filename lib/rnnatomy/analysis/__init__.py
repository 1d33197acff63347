"""Analyses: arrays in, named tuples out. They know no framework, no files and no figures."""
