"""Drift: has the traffic of a bundle moved away from what it was trained on, by enough to matter?

    reference = drift_reference(train, held_out, embedder=…)     # once a bundle; save, load
    sketch = DriftSketch(reference)                              # fixed memory
    sketch.add(ids, texts, vectors, day=day)                     # any number of times, any order
    sketch.merge(other)                                          # the other half of the traffic
    drift = verdict(sketch.window(first, last), reference)       # rule: data in, verdict out
    causes = attribute(sketch.window(first, last), reference)    # which topics, words, new tasks

| module | holds |
|---|---|
| `topics` | the topics (clusters) of the training prompts, and how far traffic moved between them |
| `familiarity` | how near prompts are to their topic, against the bundle's own held-out prompts |
| `calibration` | the thresholds, by resampling the bundle's own prompts |
| `reference` | all of that for one bundle, stored |
| `sketch` | what a stream of prompts is summed up in, by the day |
| `verdict` | the rule |
| `attribution` | what changed, for people |
"""
