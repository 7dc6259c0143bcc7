# A service on Node that is upgraded inside its container: docker kill --signal=HUP app
#
#   docker build -f examples/docker/node.Dockerfile -t app .
#   docker run --name app --publish 8080:8080 --stop-timeout 35 app
#
# Perl is in this image, and lets a Node without C calls take note of the ends of older generations; on Alpine add koffi
# (npm install koffi). See docs/run.md.
FROM node:24-slim
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev
COPY . .
ENV LISTEN=0.0.0.0:8080
EXPOSE 8080
USER node
STOPSIGNAL SIGTERM
CMD ["node_modules/.bin/changeover", "run", "--grace", "30s", "--", "node", "server.js"]
