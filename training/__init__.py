"""Makes the demo model: synthetic pictures, training, evaluation. Nothing else in the project imports it."""
