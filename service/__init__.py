"""The online recommendation service: numpy, FAISS, Redis and FastAPI; never PyTorch."""
