"""Label Studio's HTTP contract for machine-learning backends, and a page that says what is wrong when something is."""

from ml_backend.server.app import create_app

__all__ = ["create_app"]
