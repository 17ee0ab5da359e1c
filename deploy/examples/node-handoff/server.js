// A node:http server that is handed its connections: balancer accepts them and passes each over descriptor 3, which Node reads by itself
// (NODE_CHANNEL_FD in lb.toml).
'use strict';

const http = require('node:http');

const name = `server ${process.env.INSTANCE_ID ?? '?'}`;

const server = http.createServer((request, response) => response.end(`${name} has ${request.socket.remoteAddress}\n`));

process.on('message', (message, socket) => {
  if (!socket) return; // its client has left meanwhile
  socket.on('close', () => process.connected && process.send({ closed: 1 })); // for policy = "least_connections"
  server.emit('connection', socket);
});

// No more connections come: those that are here are finished, and then there is nothing left to wait for.
process.on('disconnect', () => server.closeIdleConnections());
process.on('SIGTERM', () => {});
