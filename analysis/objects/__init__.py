"""What is measured of each mask."""
