"""Tools that work on the results of a trained model."""

__all__: list[str] = []
