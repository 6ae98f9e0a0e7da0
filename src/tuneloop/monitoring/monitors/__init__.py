"""The monitors, one small class each; `table` lists them."""
