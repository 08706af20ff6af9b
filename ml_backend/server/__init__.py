"""Label Studio's HTTP contract for machine-learning backends, and a page that says what is wrong when something is.

``create_app`` lives in :mod:`ml_backend.server.app`. It is not imported here, since that takes TensorFlow's several seconds, while taking
the port (:mod:`ml_backend.server.running`) has to come first.
"""
