"""Clew trains the small models that guide a search and ships each one as a verified ONNX bundle."""

__version__ = "0.1.0"
