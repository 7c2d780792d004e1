"""The gate of a retraining: is a candidate good enough to replace the version that is served?"""
