"""A cache of bytes by key, whose failures are misses. It knows nothing about detections or images."""
