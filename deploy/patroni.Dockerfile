# docker build -f deploy/patroni.Dockerfile -t leads-postgresql deploy
FROM postgres:17
# Debian's Python refuses packages of others outside a virtual environment.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir 'patroni[etcd3]==4.1.5' 'psycopg[binary]==3.3.9'
ENV PATH=/opt/venv/bin:$PATH
USER postgres
EXPOSE 5432 8008
# That of the parent starts a server without Patroni.
ENTRYPOINT ["patroni"]
CMD ["/etc/patroni.yml"]
