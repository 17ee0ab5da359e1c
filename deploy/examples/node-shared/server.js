// A node:http server on a listener that all workers share: balancer has opened it and passes it on as descriptor 3.
'use strict';

const http = require('node:http');

const name = `server ${process.env.INSTANCE_ID ?? '?'}`;

const server = http.createServer((request, response) => response.end(`${name}\n`));

server.listen({ fd: 3 }, () => console.log(`${name} listens`));

process.on('SIGTERM', () => {
  server.close(); // ends once the last request has; the others go on accepting
  server.closeIdleConnections();
});
