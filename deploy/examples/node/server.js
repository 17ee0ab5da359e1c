// A node:http server for one of several workers: the port comes from $PORT, TERM lets requests finish.
'use strict';

const http = require('node:http');

const name = `server ${process.env.INSTANCE_ID ?? '?'}`;

const server = http.createServer((request, response) => {
  if (request.method === 'POST') {
    request.pipe(response); // without a length: chunked
    return;
  }
  if (request.url === '/slow') {
    response.write(`${name} `);
    setTimeout(() => response.end('is done\n'), 500);
    return;
  }
  response.end(`${name}\n`);
});

server.listen(process.env.PORT, process.env.HOST ?? '127.0.0.1', () => console.log(`${name} listens`));

process.on('SIGTERM', () => {
  server.close(); // ends once the last request has
  server.closeIdleConnections();
});
