# A service on Deno that is upgraded inside its container: docker kill --signal=HUP app
#
#   docker build -f examples/docker/deno.Dockerfile -t app .
#   docker run --name app --publish 8080:8080 --stop-timeout 35 app
#
# The runner needs all permissions, the server only its own: see docs/run.md.
FROM denoland/deno:2.9.6
WORKDIR /app
COPY . .
RUN deno cache server.js jsr:@changeover/changeover/cli
ENV LISTEN=0.0.0.0:8080
EXPOSE 8080
USER deno
STOPSIGNAL SIGTERM
CMD ["deno", "run", "-A", "jsr:@changeover/changeover/cli", "run", "--grace", "30s", "--", "deno", "run", "-A", "server.js"]
