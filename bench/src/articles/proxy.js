// A proxy on node:http with kept connections, for `bench articles`: what one core of Node passes on.
'use strict';

const http = require('node:http');

const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const upstream = Number(process.env.UPSTREAM);

http.createServer((request, response) => {
  const { method, url: path, headers } = request;
  const passed = http.request({ host: '127.0.0.1', port: upstream, method, path, headers, agent }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  passed.on('error', () => response.destroy());
  request.pipe(passed);
}).listen(Number(process.env.PORT), '127.0.0.1');
