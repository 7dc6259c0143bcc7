# A service on Bun that is upgraded inside its container: docker kill --signal=HUP app
#
#   docker build -f examples/docker/bun.Dockerfile -t app .
#   docker run --name app --publish 8080:8080 --stop-timeout 35 app
#
# There is no Node in this image: the runner runs on Bun as well. See docs/run.md.
FROM oven/bun:1.4.5-slim
WORKDIR /app
COPY package.json bun.lock ./
RUN bun install --production
COPY . .
ENV LISTEN=0.0.0.0:8080
EXPOSE 8080
USER bun
STOPSIGNAL SIGTERM
CMD ["bun", "node_modules/.bin/changeover", "run", "--grace", "30s", "--", "bun", "server.js"]
