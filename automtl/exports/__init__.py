"""The forms in which a trained model is handed over."""
