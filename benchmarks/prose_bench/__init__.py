"""Parts of bench_prose_measures.py: texts, likeness, what needs no reference, planted errors."""
