"""From detections to the project's own labels: label map, selection and overrides."""
