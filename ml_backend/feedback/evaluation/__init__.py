"""How accurate predictions are: outcomes, statistics and the report."""
