"""The OpenVINO runtime: models are converted once, compared with TensorFlow, and run without it from then on."""
