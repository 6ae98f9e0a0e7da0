"""Measures of prose: rules on texts alone, for scorers, monitors, reviews and checks alike."""
