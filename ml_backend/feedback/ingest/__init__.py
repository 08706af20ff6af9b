"""From an event of Label Studio to an annotation record."""
