"""The data plane: an OpenAI-compatible gateway that routes, captures and takes feedback."""
