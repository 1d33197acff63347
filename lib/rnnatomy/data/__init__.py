"""Data: images, orbits and motion capture, read from files at hand or downloaded."""
