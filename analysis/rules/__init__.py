"""The rules that decide which masks stay, and how they are grouped."""
