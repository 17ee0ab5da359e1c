// A node:http worker for `bench replace`: it records what it runs, echoes after an upgrade, and is slow or dies where told.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const { env } = process;
const body = `server ${env.INSTANCE_ID ?? '?'}\n`;
const record = env.RECORD ? fs.openSync(path.join(env.RECORD, String(process.pid)), 'a') : null;
const delay = Number(env.DELAY_MS ?? 0);
const coldDelay = delay + Number(env.COLD_MS ?? 0);
let cold = Number(env.COLD_REQUESTS ?? 0);
const tunnels = new Set();

const server = http.createServer((request, response) => {
  const id = request.headers['x-test-id'];
  if (record !== null && id) fs.writeSync(record, `${id}\n`);
  if (request.url === '/crash') process.abort();
  const wait = cold > 0 ? coldDelay : delay;
  cold -= 1;
  const answer = () => {
    const run = new URL(request.url, 'http://worker').searchParams.get('x-run') ?? '';
    response.writeHead(200, { 'Content-Length': body.length, 'X-Run': run });
    response.end(body);
  };
  request.resume();
  request.on('end', () => (wait > 0 ? setTimeout(answer, wait) : answer()));
});

server.on('upgrade', (request, socket, head) => {
  tunnels.add(socket);
  socket.on('error', () => {});
  socket.on('close', () => tunnels.delete(socket));
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n');
  socket.write(head);
  socket.pipe(socket);
});

server.listen(env.SOCKET ? { path: env.SOCKET } : { port: Number(env.PORT), host: '127.0.0.1' });

process.on('SIGTERM', () => {
  server.close(); // ends once the last request has
  server.closeIdleConnections();
  tunnels.forEach((socket) => socket.destroy());
});
