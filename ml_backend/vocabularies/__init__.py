"""Class lists with their hierarchies and synonyms."""
