"""What is trained: cells, models, training, and runs restored from disk."""
