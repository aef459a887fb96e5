"""Pictures larger than memory: read by windows, segmented window by window, merged across the seams by mask."""
