"""Connected projects of Label Studio: their diagnosis, and keeping their model version and predictions current."""
