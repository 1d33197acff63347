"""Studies: one module each; what makes ``results/``."""
