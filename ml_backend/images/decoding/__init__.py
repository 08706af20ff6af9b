"""Decodes image files to RGB pixels, in separate processes with limits.

decode.py decodes, process.py is the main program of a decoder process, and pool.py manages the processes. Nothing is imported here: a
decoder process starts in a fifth of a second because it imports Pillow and NumPy and nothing of the service.
"""
