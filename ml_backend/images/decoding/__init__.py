"""From the bytes of an image file to RGB pixels, in processes of their own that limits end.

decode.py decodes, process.py is the main program of a decoder process, and pool.py starts, uses and ends those. Nothing is imported
here: a decoder process starts in a fifth of a second because it loads Pillow and NumPy, and none of the service.
"""
