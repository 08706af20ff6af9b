"""Detectors: loading, fingerprint, contracts and runtimes."""
