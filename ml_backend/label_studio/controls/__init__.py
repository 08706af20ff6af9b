"""Control tags: one module for each kind, which reads it from a label config and writes its regions."""
