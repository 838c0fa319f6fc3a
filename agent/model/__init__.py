"""Talk to a model server: conversation history, requests, model profiles, the HTTP client, retries."""
