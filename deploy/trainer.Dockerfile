# The offline trainer: publishes artifact versions into the volume that the service reads.
FROM python:3.11-slim
WORKDIR /opt/mutualrec
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY models models
COPY training training
COPY service service
COPY mutualrec mutualrec
RUN pip install --no-cache-dir -c constraints.txt '.[service,training]' \
    && useradd --system --uid 10001 --home-dir /var/lib/mutualrec mutualrec \
    && install -d -o mutualrec -g mutualrec /var/lib/mutualrec
COPY deploy/trainer.sh /usr/local/bin/trainer
ENV MUTUALREC_HOME=/var/lib/mutualrec
USER mutualrec
HEALTHCHECK --interval=30s --timeout=3s --start-period=5m \
    CMD ["test", "-s", "/var/lib/mutualrec/artifacts/default/CURRENT"]
CMD ["sh", "/usr/local/bin/trainer"]
