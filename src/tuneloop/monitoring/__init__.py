"""Stage 5: watches live traffic against what the bundle was trained on."""
