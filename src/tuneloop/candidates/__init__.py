"""From sources to a judged bundle: prepare, train, export, evaluate, decide, backtest, bench."""
