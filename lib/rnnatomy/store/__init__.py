"""What lies on disk, written atomically, with its provenance."""
