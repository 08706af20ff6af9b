"""What people correct, kept and learned from.

event -> journal -> annotation, read back -> facts (drawn, shown, detections) -> verdicts -> report, or evidence -> revision

Predictions need none of it but :mod:`~ml_backend.feedback.learning.revisions`, which says what is in force.
"""
