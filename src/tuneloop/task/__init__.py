"""What a task is: how its rows are read, which form an answer has, which label, which abstention.

One parser and one check for every stage: data sources and suites take the same rows, and training,
evaluation, monitoring and review agree on what a right form is.
"""
