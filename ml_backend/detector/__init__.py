"""From pixels to detections: load a TensorFlow Hub handle, recognise its contract, run it.

``Detector`` and ``load_detector`` live in :mod:`ml_backend.detector.detector`. They are not imported here, since that takes
TensorFlow's several seconds and the class list alone does not need it.
"""
