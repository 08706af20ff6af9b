"""A cache of sealed bytes by key, which may fail without harm. It knows nothing about what it keeps."""
