"""Stage 4: export, model servers, smoke test, moving an endpoint to a bundle and back."""
