"""Contracts: how the outputs of a model become detections."""
