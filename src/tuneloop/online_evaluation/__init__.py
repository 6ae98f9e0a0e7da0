"""Quality of what is live: the golden set, the judge, the weekly sample, the monitors."""
