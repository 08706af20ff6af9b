"""From detections to labelled boxes of a project: label map, selection, overrides and scores."""
