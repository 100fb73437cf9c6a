"""Commands of traces, datasets and fine-tuning."""
