"""TIFF files: their tables, planes, samples, colours and scale, by tifffile and imagecodecs."""
