"""Plan which models fit on which GPUs: models, hardware, the engine's arithmetic, advice; starts nothing."""
