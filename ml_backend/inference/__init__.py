"""Models: loading, fingerprint, contracts and runtimes."""
