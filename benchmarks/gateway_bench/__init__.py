"""Parts of the gateway benches: the proxies compared, the canned upstream, the load."""
