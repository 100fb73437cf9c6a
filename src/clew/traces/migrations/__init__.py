"""The schema of a trace store, step by step; `TraceStore.open` goes through the steps that are due."""
