"""From a trained adapter to the files that are served: merge, GGUF, quantise."""
