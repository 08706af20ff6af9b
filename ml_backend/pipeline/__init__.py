"""The way of a task, from its image references to its prediction."""
