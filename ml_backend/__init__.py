"""Prelabel: the machine-learning backend for Label Studio that draws the boxes first.

A task goes in, Label Studio rectangles come out; ``pipeline.py`` is that way, readable from top to bottom. Each package beside it is
one stage: ``images`` (task value to pixels), ``detector`` (pixels to detections), ``cache`` (no picture twice), ``labels`` (detections
to the project's own regions). ``server`` and ``cli`` are the two ways in.
"""

__version__ = "0.1.0"
