"""The forms in which a trained model is exported: a file each, or a file for kin."""
