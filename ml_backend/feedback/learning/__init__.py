"""From corrections to thresholds and labels: calibration and its revisions."""
