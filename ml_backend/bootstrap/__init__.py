"""The bulk job: predicts all images of a source without a server, and can be resumed.

source -> checkpoint -> engine -> checkpoint -> predictions -> sinks
"""
