"""What is sent to a model and how: requests, profiles, the HTTP client, retries."""
