"""Connected projects of Label Studio: their diagnosis, and the upkeep of their model versions and predictions."""
