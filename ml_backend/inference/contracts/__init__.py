"""Contracts: the signatures of models, and the conversion of their outputs to detections."""
