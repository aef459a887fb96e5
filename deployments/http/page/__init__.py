"""The page at `/` for people: look, click, count, measure, export."""
