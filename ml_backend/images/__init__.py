"""Images: from a reference to bytes, from bytes to pixels as a browser shows them."""
