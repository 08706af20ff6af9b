"""Calibration: thresholds and labels of classes from corrections, as revisions."""
