"""Label Studio's HTTP contract for machine-learning backends, and the status page.

``create_app`` lives in :mod:`ml_backend.server.app`. It is not imported here: that takes several seconds for TensorFlow, and
:mod:`ml_backend.server.running` has to listen on the port before.
"""
