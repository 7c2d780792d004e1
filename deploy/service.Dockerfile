# The online service. It has no torch: training never runs here.
FROM python:3.11-slim
WORKDIR /opt/mutualrec
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY models models
COPY training training
COPY service service
COPY mutualrec mutualrec
RUN pip install --no-cache-dir -c constraints.txt '.[service]' \
    && useradd --system --uid 10001 --home-dir /var/lib/mutualrec mutualrec \
    && install -d -o mutualrec -g mutualrec /var/lib/mutualrec
# Searching with more threads than the container has cores makes every query slower.
ENV MUTUALREC_HOME=/var/lib/mutualrec \
    OMP_NUM_THREADS=1 \
    OMP_WAIT_POLICY=PASSIVE \
    OPENBLAS_NUM_THREADS=1
USER mutualrec
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
CMD ["mutualrec", "serve", "--host", "0.0.0.0"]
