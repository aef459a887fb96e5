"""The runtimes behind `EncoderBackend` and `DecoderBackend`. Importing this package imports none of them."""
