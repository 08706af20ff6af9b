"""The pages for browsers: rendered here, with scripts and styles of their own, and nothing from elsewhere."""
