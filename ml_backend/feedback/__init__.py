"""Corrections: annotation records of what people changed, reports on them, and calibration from them.

event -> queue -> annotation, read back -> record (drawn, shown, detections) -> outcomes -> report, or threshold stats -> revision

The order of the packages is store, then ingest and evaluation, then learning; none imports a later one. Predictions only need
:mod:`~ml_backend.feedback.learning.revisions`, the overrides in force.
"""
