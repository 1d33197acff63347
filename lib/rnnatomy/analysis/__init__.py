"""Analyses: arrays in, named tuples out. They know no framework, no files and no figures.

Every function takes arrays or lists of real numbers, and labels that are whole numbers. What it
cannot take, it refuses with a ``ValueError`` of one sentence: no NaN comes back as a number.
"""
