"""Stage 2: a dataset version in, a trained adapter or model out.

`preflight` looks before anything is spent, `process` runs and supervises the child process in
which `trainer` trains, and `stage` is what the command line and the cycle call.
"""
