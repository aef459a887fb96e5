"""From the bytes of a picture to upright 8-bit RGB."""
